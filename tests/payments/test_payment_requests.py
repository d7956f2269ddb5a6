"""What requesting, retrying and listing payments do beside the payment itself: events, jobs and conflicts."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from app.core.database import transaction
from app.core.extensions import celery, db
from app.payments import service, settlement
from app.payments.models import Payment
from app.payments.rules import PaymentStatus
from app.realtime.outbox import OutboxEvent
from tests.support.api import Api
from tests.support.emissions import await_marks
from tests.support.money import SECRET, Reply, confirmed, funded_protocol, payout_service, request_payment, settle

pytestmark = pytest.mark.database("sqlite")


def unpublished(protocol_id: str) -> int | None:
    await_marks()
    query = select(func.count()).select_from(OutboxEvent)
    return db.session.scalar(query.where(OutboxEvent.protocol_id == protocol_id, OutboxEvent.published_at.is_(None)))


def test_the_events_of_a_requested_payment_leave_at_once(api: Api, in_context: Flask) -> None:
    protocol_id = funded_protocol(api)

    request_payment(api, confirmed(api, protocol_id, "40.00"), amount="30.00")

    assert unpublished(protocol_id) == 0


def test_the_events_of_a_payout_leave_at_once(api: Api, app: Flask, in_context: Flask) -> None:
    protocol_id = funded_protocol(api)
    payment = request_payment(api, confirmed(api, protocol_id))

    settle(app, payment["id"])

    assert unpublished(protocol_id) == 0


def test_an_amount_of_null_means_the_whole_bounty(api: Api) -> None:
    assert request_payment(api, confirmed(api, funded_protocol(api), "40.00"), amount=None)["amount"] == "40.00"


def test_a_job_is_sent_once_and_a_dead_broker_does_not_hold_up_the_caller(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(celery, "send_task", lambda _name, args, **options: sent.append({"args": args, **options}))

    payment = request_payment(api, confirmed(api, funded_protocol(api)))

    assert sent == [{"args": [payment["id"]], "retry": False}]


def test_a_retry_that_comes_too_late_is_told_the_status_that_the_payment_has_now(
    api: Api, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = request_payment(api, confirmed(api, funded_protocol(api)))
    read = service.get

    def read_and_change(*args: Any) -> Payment:
        found = read(*args)
        with transaction() as session:  # as another worker does, after this one has read the payment
            change = update(Payment).values(status=PaymentStatus.PROCESSING.value)
            session.execute(change, execution_options={"synchronize_session": False})
        return found

    monkeypatch.setattr(service, "get", read_and_change)

    refused = api.owner.post(f"/payments/{payment['id']}/retry")

    assert (refused.status, refused.json["currentStatus"]) == (409, "PROCESSING")


def test_the_payments_of_an_unknown_protocol_are_404(api: Api) -> None:
    assert api.admin.get("/protocols/unknown/payments").status == 404


def test_a_refused_payment_is_counted_and_logged_with_its_reason(
    app_with: Any, counted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with payout_service() as provider:
        api = app_with(PAYOUT_URL=provider.url, PAYOUT_SECRET=SECRET)
        payment = request_payment(api, confirmed(api, funded_protocol(api)))
        provider.replies = [Reply(400, b"unknown account")]
        before = counted("dashboard_payments_total", outcome="failed")

        settle(api.transport.client.application, payment["id"])

        assert counted("dashboard_payments_total", outcome="failed") == before + 1
    (told,) = [each for each in caplog.records if each.message == "payment.failed"]
    assert (told.paymentId, told.attempt, told.reason) == (payment["id"], 1, "HTTP 400: unknown account")


def test_a_lease_outlasts_the_longest_call_by_the_slack(app_with: Any) -> None:
    api = app_with(PAYOUT_CONNECT_TIMEOUT="2", PAYOUT_READ_TIMEOUT="4")
    with api.transport.client.application.app_context():
        assert settlement._lease_seconds() == 2 + 2 * 4 + 3
