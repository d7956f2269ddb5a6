"""Leases, pauses between attempts, the sweep's grace and its order."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from app.core.database import transaction, utc_now
from app.core.extensions import celery, config, db
from app.payments import gateway, settlement
from app.payments.models import Payment
from tests.support.api import Api
from tests.support.money import SECRET, Reply, confirmed, funded_protocol, request_payment, settle

pytestmark = pytest.mark.database("sqlite")

PAY_NOW = {"PAYOUT_SECRET": SECRET, "PAYOUT_RETRY_BASE": "8", "PAYOUT_RETRY_CAP": "20"}


@pytest.fixture
def paying(app_with, service) -> Api:
    return app_with(PAYOUT_URL=service.url, **PAY_NOW)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """(payment id, options) of each job that was sent."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def send(_name: str, args: list[str], **options: Any) -> None:
        sent.append((args[0], options))

    monkeypatch.setattr(celery, "send_task", send)
    return sent


def app_of(api: Api) -> Flask:
    return api.transport.client.application


def new_payment(api: Api) -> str:
    return request_payment(api, confirmed(api, funded_protocol(api)))["id"]


def due_in(app: Flask, payment_id: str, moment: datetime) -> float:
    """Seconds from a moment to when the payment may be tried next."""
    with app.app_context():
        due = db.session.scalar(select(Payment.due_at).where(Payment.id == payment_id))
        return (due - moment).total_seconds()


def set_due(app: Flask, payment_id: str, seconds: float, **values: Any) -> None:
    with app.app_context(), transaction() as session:
        due = utc_now() + timedelta(seconds=seconds)
        session.execute(update(Payment).where(Payment.id == payment_id).values(due_at=due, **values))


def status(api: Api, payment_id: str) -> tuple[str, str]:
    found = api.viewer.get(f"/payments/{payment_id}").expect(200)
    return found["status"], found["attempts"]


def test_a_payment_is_leased_for_longer_than_its_call_can_take(paying, service):
    payment_id, seen = new_payment(paying), []

    def look() -> None:
        seen.append((status(paying, payment_id), due_in(app_of(paying), payment_id, utc_now())))

    service.replies = [Reply(before=look)]
    with app_of(paying).app_context():
        longest = gateway.max_call_seconds(config())
    settle(app_of(paying), payment_id)

    [((state, attempts), lease)] = seen
    assert (state, attempts) == ("PROCESSING", "1")
    assert longest - 2 < lease <= longest + 5
    timeouts = config_of(paying)
    assert longest == pytest.approx(timeouts.payout_connect_timeout + 2 * timeouts.payout_read_timeout)


def config_of(api: Api) -> Any:
    with app_of(api).app_context():
        return config()


def test_a_payment_is_leased_once_until_its_lease_expires(paying, service):
    payment_id = new_payment(paying)
    app = app_of(paying)
    with app.app_context():
        first = settlement.acquire(payment_id)
        assert first is not None
        assert settlement.acquire(payment_id) is None
    set_due(app, payment_id, 15)
    settle(app, payment_id)
    assert service.requests == []
    set_due(app, payment_id, -0.001)
    settle(app, payment_id)
    assert status(paying, payment_id) == ("RELEASED", "2")


def test_pauses_between_attempts_double_from_the_base_to_the_cap(paying, service, jobs):
    payment_id, app = new_payment(paying), app_of(paying)
    service.replies = [Reply(503)] * 4
    for attempt, (least, most) in enumerate([(4, 8), (8, 16), (10, 20), (10, 20)], start=1):
        set_due(app, payment_id, -1)
        before = utc_now()
        settle(app, payment_id)
        assert least <= due_in(app, payment_id, before)
        assert due_in(app, payment_id, utc_now()) <= most
        assert status(paying, payment_id) == ("PENDING", str(attempt))


@pytest.mark.parametrize(
    ("state", "seconds", "is_swept"),
    [
        ("PENDING", -60, True), ("PROCESSING", -60, True), ("RELEASED", -60, False), ("FAILED", -60, False),
        ("PENDING", 60, False), ("PROCESSING", 60, False), ("PENDING", -3, True), ("PENDING", -0.5, False),
    ],
)  # fmt: skip
def test_the_sweep_takes_unsettled_payments_that_have_been_due_for_some_seconds(api, jobs, state, seconds, is_swept):
    payment_id = new_payment(api)
    set_due(app_of(api), payment_id, seconds, status=state)
    jobs.clear()
    with app_of(api).app_context():
        assert settlement.sweep() == int(is_swept)
    assert [job for job, _ in jobs] == ([payment_id] if is_swept else [])


def test_the_sweep_takes_the_longest_due_first_and_a_limited_number(api, jobs, monkeypatch):
    monkeypatch.setattr(settlement, "MAX_SWEPT", 2)
    payments = [new_payment(api) for _ in range(3)]
    for payment_id, seconds in zip(payments, (-10, -30, -20), strict=True):
        set_due(app_of(api), payment_id, seconds)
    jobs.clear()
    with app_of(api).app_context():
        assert settlement.sweep() == 2
    assert [job for job, _ in jobs] == [payments[1], payments[2]]


@pytest.mark.parametrize(("reply", "state"), [(Reply(400, b"no"), "FAILED"), (Reply(), "RELEASED")])
def test_a_response_of_any_status_keeps_the_circuit_closed(paying, service, reply, state):
    app = app_of(paying)
    for _ in range(6):
        failing, answered = new_payment(paying), new_payment(paying)
        service.replies = [Reply(503), reply]
        settle(app, failing)
        settle(app, answered)
        assert status(paying, answered)[0] == state
    assert app.extensions["payout_breaker"].remaining_seconds == 0


def test_a_retried_payment_is_due_at_once_and_keeps_counting_its_attempts(paying, service, jobs):
    payment_id, app = new_payment(paying), app_of(paying)
    service.replies = [Reply(400, b"no")]
    settle(app, payment_id)
    jobs.clear()
    paying.owner.post(f"/payments/{payment_id}/retry").expect(202)
    assert [job for job, _ in jobs] == [payment_id]
    assert due_in(app, payment_id, utc_now()) <= 0
    settle(app, payment_id)
    assert status(paying, payment_id) == ("RELEASED", "2")


def test_a_new_payment_is_due_at_once_and_enqueued_once(api, jobs):
    before = utc_now()
    payment_id = new_payment(api)
    assert [job for job, _ in jobs] == [payment_id]
    assert -1 <= due_in(app_of(api), payment_id, before) <= (utc_now() - before).total_seconds()
