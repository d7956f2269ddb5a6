"""What an owner does about a refused payment: retry it, to another recipient too, or cancel it. None is paid twice."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.audit.service import AuditEntry
from app.core.extensions import db
from app.payments import gateway, settlement
from app.payments.reconciliation import read_payments, stuck_payments
from app.protocols import service as protocols
from tests.factories import file_vulnerability
from tests.support.api import Answer, Api, InProcess
from tests.support.documents import validate_event
from tests.support.money import (
    SECRET,
    PayoutService,
    Reply,
    at_once,
    books,
    confirmed,
    event_summaries,
    funded_protocol,
    make_due,
    pool,
    request_payment,
    settle,
    stored_events,
)

ENVELOPE = {"timestamp": "2026-11-22T20:30:00.123Z", "protocolId": "P1", "seq": "1"}
CONTEXTS = {"timed out": Reply(503), "paid, unreadable": Reply(200, b"{}")}


@pytest.fixture
def api(app_with: Callable[..., Api], service: PayoutService) -> Api:
    return app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET, PAYOUT_RETRY_BASE="0")


def app_of(api: Api) -> Flask:
    return api.transport.client.application


def other_caller(api: Api) -> Api:
    return Api(InProcess(app_of(api)), api.signing_key)


def shown(api: Api, payment_id: str) -> dict[str, Any]:
    return api.viewer.get(f"/payments/{payment_id}").expect(200)


def refused_payment(api: Api, service: PayoutService, *earlier: Reply, status: int = 422) -> tuple[str, str, str]:
    """The ids of a protocol and a FAILED payment of 40.00, and its vulnerability's path."""
    protocol_id = funded_protocol(api, "100.00")
    path = confirmed(api, protocol_id, "40.00")
    payment_id = request_payment(api, path)["id"]
    service.replies = [*earlier, Reply(status, b"unknown recipient")]
    for _ in service.replies[:]:
        settle(app_of(api), payment_id)
    assert shown(api, payment_id)["status"] == "FAILED"
    return protocol_id, payment_id, path


def post(api: Api, payment_id: str, action: str, *body: Any, **headers: str) -> Answer:
    return api.owner.post(f"/payments/{payment_id}/{action}", *body, **headers)


def audited(api: Api, payment_id: str) -> list[tuple[str, Any, Any]]:
    with app_of(api).app_context():
        mine = select(AuditEntry).where(AuditEntry.target_id == payment_id).order_by(AuditEntry.id)
        return [(each.action, each.before, each.after) for each in db.session.scalars(mine)]


def test_a_cancelled_payment_gives_its_reservation_back_and_its_vulnerability_may_be_paid_anew(
    api: Api, service: PayoutService
) -> None:
    protocol_id, payment_id, path = refused_payment(api, service)
    before = api.viewer.get(path).expect(200)

    cancelled = post(api, payment_id, "cancel", Idempotency_Key="k").expect(200)
    again = post(api, payment_id, "cancel", Idempotency_Key="k")

    assert (again.json, again.headers["idempotent-replayed"]) == (cancelled, "true")
    assert cancelled == shown(api, payment_id)
    assert (cancelled["status"], cancelled["failureReason"]) == ("CANCELLED", "HTTP 422: unknown recipient")
    after = api.viewer.get(path).expect(200)
    assert (after["status"], after["paymentId"]) == ("CONFIRMED", None)
    assert int(after["version"]) == int(before["version"]) + 1
    assert (pool(api, protocol_id)["available"], pool(api, protocol_id)["reserved"]) == ("100.00", "0.00")
    assert event_summaries(app_of(api), protocol_id)[-3:] == [
        "payment FAILED",
        "RESERVATION_RELEASED",
        "payment CANCELLED",
    ]
    entry = api.viewer.get(f"/protocols/{protocol_id}/pool/entries").expect(200)["items"][0]
    assert (entry["paymentId"], entry["amount"]) == (payment_id, "40.00")

    missing = api.owner.post(f"{path}/payment", {"recipient": "0xdef"})
    assert (missing.status, list(missing.json["errors"])) == (422, ["amount"])
    anew = request_payment(api, path, recipient="0xdef", amount="60.00")["id"]
    settle(app_of(api), anew)
    assert shown(api, anew)["status"] == "RELEASED"
    assert post(api, payment_id, "retry").json["currentStatus"] == "CANCELLED"
    assert (pool(api, protocol_id)["paid"], pool(api, protocol_id)["available"]) == ("60.00", "40.00")
    assert [request.key for request in service.requests] == [payment_id, anew]
    assert books(app_of(api)) == []


def test_a_retry_to_another_recipient_pays_that_one_once_under_a_key_of_its_own(
    api: Api, service: PayoutService
) -> None:
    protocol_id, payment_id, _ = refused_payment(api, service)

    retried = post(api, payment_id, "retry", {"recipient": "0xdef"}, Idempotency_Key="k").expect(202)
    repeated = post(api, payment_id, "retry", {"recipient": "0xdef"}, Idempotency_Key="k")
    changed = post(api, payment_id, "retry", {"recipient": "0x123"}, Idempotency_Key="k")
    settle(app_of(api), payment_id)

    assert (retried["status"], retried["recipient"], retried["mayBePaid"]) == ("PENDING", "0xdef", False)
    assert (repeated.json, changed.code) == (retried, "IDEMPOTENCY_KEY_REUSED")
    assert (shown(api, payment_id)["status"], shown(api, payment_id)["recipient"]) == ("RELEASED", "0xdef")
    assert [(each.key, each.json["recipient"]) for each in service.requests] == [
        (payment_id, "0xabc"), (f"{payment_id}:2", "0xdef"),
    ]  # fmt: skip
    assert (pool(api, protocol_id)["paid"], len(service.paid)) == ("40.00", 1)
    action, before, after = audited(api, payment_id)[2]
    assert (action, before, after["recipient"]) == (
        "PAYMENT_RETRIED", {"status": "FAILED", "recipient": "0xabc"}, "0xdef",
    )  # fmt: skip
    assert books(app_of(api)) == []


@pytest.mark.parametrize("body", [(), ({},), ({"recipient": None},), ({"recipient": "0xabc"},)])
def test_a_retry_to_the_same_recipient_keeps_the_key(api: Api, service: PayoutService, body: tuple[Any, ...]) -> None:
    _, payment_id, _ = refused_payment(api, service)
    post(api, payment_id, "retry", *body).expect(202)
    settle(app_of(api), payment_id)
    assert [each.key for each in service.requests] == [payment_id] * 2
    assert shown(api, payment_id)["status"] == "RELEASED"


def test_the_recipient_of_a_retry_is_checked_as_at_the_request(api: Api, service: PayoutService) -> None:
    _, payment_id, _ = refused_payment(api, service)
    for recipient in ("", " ", "r ", "a\nb", "\u200b", "x" * 129, 5):
        refused = post(api, payment_id, "retry", {"recipient": recipient})
        assert (refused.status, list(refused.json["errors"])) == (422, ["recipient"]), recipient
    assert list(post(api, payment_id, "retry", {"amount": "1"}).json["errors"]) == ["amount"]
    assert shown(api, payment_id)["status"] == "FAILED"


def test_only_failed_payments_are_cancelled_and_only_by_owners_of_the_protocol(
    api: Api, service: PayoutService
) -> None:
    payment_id = request_payment(api, confirmed(api, funded_protocol(api)))["id"]
    statuses = []
    for act in (lambda: None, lambda: settle(app_of(api), payment_id)):
        act()
        refused = post(api, payment_id, "cancel")
        statuses.append((refused.status, refused.code, refused.json["currentStatus"]))
    assert statuses == [(409, "INVALID_TRANSITION", "PENDING"), (409, "INVALID_TRANSITION", "RELEASED")]
    path = f"/payments/{payment_id}/cancel"
    assert [api.as_(role).post(path).status for role in ("viewer", "validator", "agent")] == [403] * 3
    assert api.as_("owner", protocols=["other"]).post(path).status == 404


def test_a_malformed_request_or_one_for_another_operation_cancels_nothing(api: Api, service: PayoutService) -> None:
    _, payment_id, _ = refused_payment(api, service)

    malformed = post(api, payment_id, "cancel", b"{not json")
    misdirected = post(api, payment_id, "cancel", {"recipient": "0xdef"})

    assert (malformed.status, malformed.code) == (400, "BAD_REQUEST")
    assert (misdirected.status, list(misdirected.json["errors"])) == (422, ["recipient"])
    assert shown(api, payment_id)["status"] == "FAILED"
    post(api, payment_id, "cancel", {}).expect(200)


@pytest.mark.parametrize("earlier", CONTEXTS.values(), ids=CONTEXTS)
def test_after_an_attempt_without_an_outcome_a_vague_refusal_proves_nothing(
    api: Api, service: PayoutService, earlier: Reply
) -> None:
    """A 403 may come from a proxy. The first attempt may have paid: only its own key can be sent safely."""
    protocol_id, payment_id, _ = refused_payment(api, service, earlier, status=403)
    assert shown(api, payment_id)["mayBePaid"] is True
    assert post(api, payment_id, "cancel").code == "PAYMENT_UNCERTAIN"
    assert post(api, payment_id, "retry", {"recipient": "0xdef"}).code == "PAYMENT_UNCERTAIN"
    assert pool(api, protocol_id)["reserved"] == "40.00"

    post(api, payment_id, "retry").expect(202)
    service.replies = [Reply(422, b"no")]
    settle(app_of(api), payment_id)

    assert shown(api, payment_id)["mayBePaid"] is False, "the service has said so of the payment itself"
    post(api, payment_id, "cancel").expect(200)
    assert {each.key for each in service.requests} == {payment_id}


def test_a_payment_tells_when_it_is_tried_again_until_it_is_refused(api: Api, service: PayoutService) -> None:
    payment = request_payment(api, confirmed(api, funded_protocol(api), "40.00"))
    service.replies = [Reply(503, headers={"Retry-After": "30"}), Reply(422, b"no")]
    settle(app_of(api), payment["id"])
    waiting = shown(api, payment["id"])
    assert (payment["nextAttemptAt"], waiting["status"]) == (None, "PENDING")
    assert waiting["nextAttemptAt"] > waiting["createdAt"]
    make_due(app_of(api), payment["id"])
    settle(app_of(api), payment["id"])
    assert [shown(api, payment["id"])[name] for name in ("status", "nextAttemptAt")] == ["FAILED", None]
    assert post(api, payment["id"], "retry").expect(202)["nextAttemptAt"] is None, "it is due at once"


def test_an_attempt_that_reached_nobody_has_paid_nothing(
    api: Api, service: PayoutService, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = request_payment(api, confirmed(api, funded_protocol(api)))["id"]
    with monkeypatch.context() as offline:
        offline.setattr(gateway, "pay", lambda *_: gateway.Unknown("no connection", was_reached=False))
        settle(app_of(api), payment_id)
    service.replies = [Reply(403)]
    settle(app_of(api), payment_id)
    post(api, payment_id, "cancel").expect(200)


def test_an_attempt_whose_worker_died_may_have_paid(api: Api, service: PayoutService) -> None:
    payment_id = request_payment(api, confirmed(api, funded_protocol(api)))["id"]
    with app_of(api).app_context():
        assert settlement.acquire(payment_id) is not None
    make_due(app_of(api), payment_id)
    service.replies = [Reply(404)]
    settle(app_of(api), payment_id)
    assert post(api, payment_id, "cancel").code == "PAYMENT_UNCERTAIN"


def test_a_payment_that_was_paid_and_not_recorded_is_never_cancelled(
    api: Api, service: PayoutService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the service refuses the key afterwards."""
    protocol_id = funded_protocol(api)
    payment_id = request_payment(api, confirmed(api, protocol_id, "40.00"))["id"]
    service.replies = [Reply(200, b'{"reference": "\\u0000"}'), Reply(422)]
    with monkeypatch.context() as broken:
        broken.setattr(protocols, "apply_change", lambda *_, **__: 1 / 0)
        settle(app_of(api), payment_id)
    settle(app_of(api), payment_id)
    assert shown(api, payment_id)["status"] == "FAILED"
    assert post(api, payment_id, "cancel").code == "PAYMENT_UNCERTAIN"
    assert post(api, payment_id, "retry", {"recipient": "0xdef"}).code == "PAYMENT_UNCERTAIN"
    post(api, payment_id, "retry").expect(202)
    settle(app_of(api), payment_id)
    assert (shown(api, payment_id)["status"], pool(api, protocol_id)["paid"]) == ("RELEASED", "40.00")
    assert books(app_of(api)) == []


@pytest.mark.parametrize("change", ["cancel", "retry"])
def test_a_payout_of_a_key_that_was_refused_before_is_reported_and_charges_nothing_twice(
    api: Api, service: PayoutService, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    """A slow worker's answer, after the owner has acted on the refusal that another one got."""
    protocol_id, payment_id = funded_protocol(api, "100.00"), ""

    def refuse_and_act() -> None:
        make_due(app_of(api), payment_id)
        service.replies = [Reply(422), Reply(200, b'{"reference": "second"}')]
        settle(app_of(api), payment_id)
        caller = other_caller(api)
        if change == "cancel":
            post(caller, payment_id, "cancel").expect(200)
        else:
            post(caller, payment_id, "retry", {"recipient": "0xdef"}).expect(202)
            settle(app_of(api), payment_id)

    payment_id = request_payment(api, confirmed(api, protocol_id, "40.00"))["id"]
    service.replies = [Reply(200, b'{"reference": "first"}', before=refuse_and_act)]
    settle(app_of(api), payment_id)

    paid = {"cancel": "0.00", "retry": "40.00"}[change]
    assert (pool(api, protocol_id)["paid"], pool(api, protocol_id)["reserved"]) == (paid, "0.00")
    assert shown(api, payment_id)["lastError"].startswith("paid, but not recorded: '0xabc' was paid")
    (logged,) = (each for each in caplog.records if each.getMessage() == "payment.paid_not_recorded")
    assert (logged.levelname, logged.reference, logged.recipient) == ("ERROR", "first", "0xabc")
    if change == "cancel":
        with app_of(api).app_context():
            assert [each.id for each in stuck_payments(10)] == [payment_id]
            assert read_payments()[0].samples[0].value == 1
    assert books(app_of(api)) == []


def test_of_concurrent_retries_and_cancellations_one_takes_effect(api: Api, service: PayoutService) -> None:
    protocol_id, payment_id, path = refused_payment(api, service)
    acts = [("cancel",), ("retry", {"recipient": "0xdef"}), ("retry",)] * 3

    answers = at_once(9, [lambda act=act: post(other_caller(api), payment_id, *act) for act in acts])

    assert sorted(each.status for each in answers)[1:] == [409] * 8
    assert {each.code for each in answers if each.status == 409} == {"INVALID_TRANSITION"}
    final = shown(api, payment_id)
    reserved = {"CANCELLED": "0.00", "PENDING": "40.00"}[final["status"]]
    assert pool(api, protocol_id)["reserved"] == reserved
    assert (api.viewer.get(path).expect(200)["paymentId"] is None) == (final["status"] == "CANCELLED")
    assert books(app_of(api)) == []


def test_concurrent_requests_with_one_key_cancel_once_and_get_one_answer(api: Api, service: PayoutService) -> None:
    protocol_id, payment_id, _ = refused_payment(api, service)
    answers = at_once(6, [lambda: post(other_caller(api), payment_id, "cancel", Idempotency_Key="k")] * 6)
    assert [each.expect(200) for each in answers] == [shown(api, payment_id)] * 6
    assert event_summaries(app_of(api), protocol_id).count("RESERVATION_RELEASED") == 1


def test_a_cancellation_while_a_job_settles_the_payment_leaves_the_books_in_order(
    api: Api, service: PayoutService
) -> None:
    protocol_id, payment_id, path = refused_payment(api, service)
    acts = [
        lambda: post(other_caller(api), payment_id, "retry"),
        lambda: settle(app_of(api), payment_id),
        lambda: post(other_caller(api), payment_id, "cancel"),
        lambda: settle(app_of(api), payment_id),
        lambda: other_caller(api).owner.post(f"{path}/payment", {"recipient": "0xdef", "amount": "50.00"}),
    ]
    at_once(5, acts)
    for each in api.viewer.get(f"/protocols/{protocol_id}/payments").expect(200)["items"]:
        settle(app_of(api), each["id"])

    payments = api.viewer.get(f"/protocols/{protocol_id}/payments").expect(200)["items"]
    released = [each for each in payments if each["status"] == "RELEASED"]
    assert pool(api, protocol_id)["paid"] == (released[0]["amount"] if released else "0.00")
    assert len(released) == len(service.paid) <= 1
    assert pool(api, protocol_id)["reserved"] == "0.00"
    assert books(app_of(api)) == []


def test_every_event_of_a_payment_is_as_documented_and_its_version_rises(api: Api, service: PayoutService) -> None:
    protocol_id, payment_id, _ = refused_payment(api, service)
    post(api, payment_id, "retry").expect(202)
    service.replies = [Reply(503), Reply(422)]
    for _ in range(2):
        settle(app_of(api), payment_id)
    versions = [int(shown(api, payment_id)["version"])]
    cancelled = post(api, payment_id, "cancel").expect(200)

    events = [data for kind, data in stored_events(app_of(api), protocol_id) if kind == "payment:status_changed"]
    assert [(each["oldStatus"], each["newStatus"], each["attempts"]) for each in events] == [
        (None, "PENDING", "0"), ("PROCESSING", "FAILED", "1"), ("FAILED", "PENDING", "1"),
        ("PROCESSING", "FAILED", "3"), ("FAILED", "CANCELLED", "3"),
    ]  # fmt: skip
    versions = [int(each["version"]) for each in events]
    assert versions == [1, 3, 4, 8, 9], "attempts can be seen too"
    assert cancelled["version"] == "9"
    assert [each["failureReason"] is None for each in events] == [True, False, True, False, False]
    for data in events:
        validate_event({"eventType": "payment:status_changed", **ENVELOPE, "data": data})


def test_every_filing_is_told_before_its_reservation(api: Api) -> None:
    protocol_id = funded_protocol(api)
    found = [file_vulnerability(api, protocol_id, **fields) for fields in ({"bounty": "2.50"}, {"severity": "LOW"})]
    events = stored_events(app_of(api), protocol_id)[1:]

    assert [kind for kind, _ in events] == ["vuln:discovered", "bounty_pool:updated", "vuln:discovered"]
    told_of = [data for kind, data in events if kind == "vuln:discovered"]
    for data, filed in zip(told_of, found, strict=True):
        same = ("title", "severity", "status", "bounty", "agentId", "version", "createdAt")
        assert data == {"vulnerabilityId": filed["id"]} | {name: filed[name] for name in same}
        validate_event({"eventType": "vuln:discovered", **ENVELOPE, "data": data})


def test_the_state_lists_the_latest_payments_and_every_failed_one(
    api: Api, service: PayoutService, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol_id, failed, _ = refused_payment(api, service)
    newer = [request_payment(api, confirmed(api, protocol_id, "1.00"))["id"] for _ in range(21)]

    def listed() -> list[dict[str, Any]]:
        return api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["payments"]

    assert [each["id"] for each in listed()] == [*newer[:0:-1], failed]
    assert listed()[-1] == shown(api, failed)
    monkeypatch.setattr("app.payments.service.MAX_LISTED", 20)
    assert [each["id"] for each in listed()] == newer[:0:-1]
    post(api, failed, "cancel").expect(200)
    with app_of(api).app_context():
        assert (
            db.session.scalar(
                select(func.count()).select_from(AuditEntry).where(AuditEntry.action == "PAYMENT_CANCELLED")
            )
            == 1
        )
