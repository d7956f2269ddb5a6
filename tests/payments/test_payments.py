import os
import signal
import time

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from app.payments import settlement
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.money import (
    SECRET,
    Reply,
    at_once,
    books,
    confirmed,
    event_summaries,
    funded_protocol,
    make_due,
    own_api,
    pool,
    request_payment,
    settle,
)


@pytest.fixture
def paying(app_with, service):
    """An API whose app pays through the service, without pauses between the tries."""
    return app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET, PAYOUT_RETRY_BASE="0")


def app_of(api):
    return api.transport.client.application


def payment(api, payment_id):
    return api.viewer.get(f"/payments/{payment_id}").expect(200)


# asking for a payment


def test_a_payment_is_pending_and_defaults_to_the_whole_bounty(api):
    protocol_id = funded_protocol(api)
    path = confirmed(api, protocol_id, "40.00")
    asked = request_payment(api, path)
    assert asked | {"id": "", "createdAt": ""} == {
        "id": "", "vulnerabilityId": path.split("/")[-1], "protocolId": protocol_id, "amount": "40.00",
        "currency": "USDC", "recipient": "0xabc", "status": "PENDING", "failureReason": None, "lastError": None,
        "reference": None, "attempts": "0", "nextAttemptAt": None, "mayBePaid": False, "version": "1", "createdAt": "",
        "releasedAt": None,
    }  # fmt: skip
    assert payment(api, asked["id"]) == asked
    assert api.viewer.get(path).expect(200)["paymentId"] == asked["id"]
    assert pool(api, protocol_id)["reserved"] == "40.00"


def test_a_larger_amount_than_the_reserved_bounty_is_422_and_changes_nothing(api):
    protocol_id = funded_protocol(api)
    path = confirmed(api, protocol_id, "40.00")
    refused = api.owner.post(f"{path}/payment", {"recipient": "r", "amount": "40.000001"})
    assert (refused.status, list(refused.json["errors"])) == (422, ["amount"])
    assert api.viewer.get(path).expect(200)["paymentId"] is None
    request_payment(api, path)


def test_without_a_reservation_the_amount_is_required_and_reserved_now(api):
    protocol_id = funded_protocol(api, "10.00")
    path = confirmed(api, protocol_id, None)
    missing = api.owner.post(f"{path}/payment", {"recipient": "r"})
    assert (missing.status, list(missing.json["errors"])) == (422, ["amount"])
    too_much = api.owner.post(f"{path}/payment", {"recipient": "r", "amount": "10.01"})
    assert (too_much.status, too_much.code) == (409, "INSUFFICIENT_FUNDS")
    assert request_payment(api, path, amount="7.00")["amount"] == "7.00"
    assert (pool(api, protocol_id)["reserved"], pool(api, protocol_id)["available"]) == ("7.00", "3.00")


def test_a_smaller_amount_releases_the_rest_at_once(app, api):
    protocol_id = funded_protocol(api, "10.00")
    request_payment(api, confirmed(api, protocol_id, "8.00"), amount="3.00")
    assert (pool(api, protocol_id)["reserved"], pool(api, protocol_id)["available"]) == ("3.00", "7.00")
    assert event_summaries(app, protocol_id)[-2:] == ["RESERVATION_RELEASED", "payment PENDING"]


def test_a_vulnerability_is_paid_once(app, settings, api):
    path = confirmed(api, funded_protocol(api))
    ask = {"recipient": "r"}
    tasks = [lambda: own_api(app, settings).owner.post(f"{path}/payment", ask)] * 8
    answers = at_once(8, tasks)
    assert sorted(answer.status for answer in answers) == [202] + [409] * 7
    assert {answer.code for answer in answers if answer.status == 409} == {"ALREADY_EXISTS"}
    settle(app, api.viewer.get(path).expect(200)["paymentId"])
    assert api.owner.post(f"{path}/payment", ask).code == "ALREADY_EXISTS"


def test_only_confirmed_vulnerabilities_are_paid(api):
    protocol_id = funded_protocol(api)
    path = f"/vulnerabilities/{file_vulnerability(api, protocol_id)['id']}"
    body = {"recipient": "r", "amount": "1"}
    pending = api.owner.post(f"{path}/payment", body)
    assert (pending.status, pending.code) == (409, "INVALID_TRANSITION")
    assert "PENDING" in pending.json["detail"]
    api.validator.post(f"{path}/reject", {"reason": "no"}).expect(200)
    assert "REJECTED" in api.owner.post(f"{path}/payment", body).json["detail"]


def test_each_invalid_field_of_a_payment_is_named_and_only_owners_pay(api):
    path = f"{confirmed(api, funded_protocol(api))}/payment"
    bodies = [{}, {"recipient": ""}, {"recipient": "x" * 129}, {"recipient": "a\nb"}, {"recipient": 5}]
    bodies += [{"recipient": hidden} for hidden in (" ", "\u200b", "0x\u202ecba", "\ue000", " r", "r ")]
    for body in bodies:
        assert list(api.owner.post(path, body).json["errors"]) == ["recipient"], body
    assert list(api.owner.post(path, {"recipient": "r", "amount": 5}).json["errors"]) == ["amount"]
    for role in ("viewer", "validator", "agent"):
        assert api.as_(role).post(path, {"recipient": "r"}).status == 403
    api.owner.post(path, {"recipient": "0xabc → ü" + "x" * 119}).expect(202)


def test_payments_are_listed_newest_first_and_only_for_tokens_that_grant_the_protocol(api):
    protocol_id = funded_protocol(api)
    asked = [request_payment(api, confirmed(api, protocol_id, "1.00"))["id"] for _ in range(3)]
    first = api.viewer.get(f"/protocols/{protocol_id}/payments?limit=2").expect(200)
    rest = api.viewer.get(f"/protocols/{protocol_id}/payments?limit=2&cursor={first['nextCursor']}").expect(200)
    assert [each["id"] for each in first["items"] + rest["items"]] == asked[::-1]
    state = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
    assert [each["id"] for each in state["payments"]] == asked[::-1]
    for path in (f"/payments/{asked[0]}", "/payments/not-there", "/payments/%00"):
        answer = api.as_("viewer", protocols=["other"]).get(path)
        assert (answer.status, answer.code) == (404, "PAYMENT_NOT_FOUND")


# settling it


def test_a_settled_payment_charges_pool_and_ledger_and_emits_its_events_in_order(app, api):
    protocol_id = funded_protocol(api)
    path = confirmed(api, protocol_id, "40.00")
    asked = request_payment(api, path)
    settle(app, asked["id"])
    released = payment(api, asked["id"])
    assert (released["status"], released["attempts"]) == ("RELEASED", "1")
    assert released["releasedAt"] >= released["createdAt"]
    assert (pool(api, protocol_id)["paid"], pool(api, protocol_id)["reserved"]) == ("40.00", "0.00")
    entry = api.viewer.get(f"/protocols/{protocol_id}/pool/entries").expect(200)["items"][0]
    assert (entry["changeType"], entry["paymentId"], entry["amount"]) == ("PAYMENT_RELEASED", asked["id"], "40.00")
    assert api.viewer.get(path).expect(200)["status"] == "PAID"
    assert event_summaries(app, protocol_id)[-4:] == ["payment PENDING", "PAYMENT_RELEASED", "payment RELEASED", "PAID"]
    assert books(app) == []


def test_concurrent_jobs_of_one_payment_charge_once(paying, service):
    app, protocol_id = app_of(paying), funded_protocol(paying)
    asked = request_payment(paying, confirmed(paying, protocol_id, "40.00"))
    at_once(8, [lambda: settle(app, asked["id"])] * 16)
    assert pool(paying, protocol_id)["paid"] == "40.00"
    assert len(service.paid) == len(service.requests) == 1
    assert event_summaries(app, protocol_id).count("PAID") == 1
    assert books(app) == []


def test_a_job_for_an_unknown_payment_does_nothing(app):
    settle(app, "not-there")


def test_errors_of_the_service_are_retried_until_it_pays(paying, service):
    protocol_id = funded_protocol(paying)
    asked = request_payment(paying, confirmed(paying, protocol_id, "40.00"))
    service.replies = [Reply(500), Reply(500)]
    seen = []
    for _ in range(3):
        settle(app_of(paying), asked["id"])
        seen.append((payment(paying, asked["id"])["status"], pool(paying, protocol_id)["paid"]))
    assert seen == [("PENDING", "0.00"), ("PENDING", "0.00"), ("RELEASED", "40.00")]
    assert payment(paying, asked["id"])["attempts"] == "3"
    assert payment(paying, asked["id"])["reference"] == "tx-1"
    assert len({request.key for request in service.requests}) == 1


def test_while_a_payment_is_retried_its_last_error_is_shown_and_logged(paying, service, caplog):
    asked = request_payment(paying, confirmed(paying, funded_protocol(paying)))
    service.replies = [Reply(500, b"no disk"), Reply(cut_after=3)]
    seen = []
    for _ in range(3):
        settle(app_of(paying), asked["id"])
        seen.append(payment(paying, asked["id"]))
    told = [(each["status"], each["failureReason"], each["lastError"], each["attempts"]) for each in seen]
    assert told == [
        ("PENDING", None, "HTTP 500: no disk", "1"),
        ("PENDING", None, "no response (ProtocolError)", "2"),
        ("RELEASED", None, None, "3"),
    ]
    warnings = [each for each in caplog.records if each.levelname == "WARNING"]
    warned = [each for each in warnings if getattr(each, "paymentId", "") == asked["id"]]
    assert [(each.getMessage(), each.attempt) for each in warned] == [
        ("payment.retry_scheduled", 1),
        ("payment.retry_scheduled", 2),
    ]
    assert warned[0].reason == "HTTP 500: no disk"


def test_a_task_time_limit_during_the_call_returns_the_payment_to_pending(paying, service):
    """As Celery does: a signal whose handler raises in the main thread."""

    def strike(*_):
        raise SoftTimeLimitExceeded

    asked = request_payment(paying, confirmed(paying, funded_protocol(paying)))
    service.replies = [Reply(before=lambda: (os.kill(os.getpid(), signal.SIGUSR1), time.sleep(0.4)))]
    earlier = signal.signal(signal.SIGUSR1, strike)
    try:
        settle(app_of(paying), asked["id"])
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert payment(paying, asked["id"])["lastError"] == "no response (SoftTimeLimitExceeded)"


def test_a_payment_returned_to_pending_waits_for_its_pause(app_with, service):
    api = app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET, PAYOUT_RETRY_BASE="60")
    asked = request_payment(api, confirmed(api, funded_protocol(api)))
    service.replies = [Reply(503)]
    settle(app_of(api), asked["id"])
    settle(app_of(api), asked["id"])
    assert len(service.requests) == 1
    make_due(app_of(api), asked["id"])
    settle(app_of(api), asked["id"])
    assert payment(api, asked["id"])["status"] == "RELEASED"


def test_a_response_lost_after_the_payout_is_requested_again_and_charged_once(paying, service):
    protocol_id = funded_protocol(paying)
    asked = request_payment(paying, confirmed(paying, protocol_id, "40.00"))
    service.replies = [Reply(cut_after=3), Reply()]
    settle(app_of(paying), asked["id"])
    assert payment(paying, asked["id"])["status"] == "PENDING"
    settle(app_of(paying), asked["id"])
    assert (payment(paying, asked["id"])["status"], pool(paying, protocol_id)["paid"]) == ("RELEASED", "40.00")
    assert len(service.paid) == 1
    assert books(app_of(paying)) == []


def test_a_refused_payment_fails_keeps_its_reservation_and_can_be_retried(paying, service):
    app, protocol_id = app_of(paying), funded_protocol(paying)
    path = confirmed(paying, protocol_id, "40.00")
    asked = request_payment(paying, path)
    service.replies = [Reply(400, b"unknown recipient")]
    settle(app, asked["id"])
    failed = payment(paying, asked["id"])
    assert (failed["status"], failed["failureReason"]) == ("FAILED", "HTTP 400: unknown recipient")
    assert failed["lastError"] == failed["failureReason"]
    assert pool(paying, protocol_id)["reserved"] == "40.00"
    assert paying.viewer.get(path).expect(200)["status"] == "CONFIRMED"
    settle(app, asked["id"])
    assert len(service.requests) == 1, "a FAILED payment is not tried by itself"

    retried = paying.owner.post(f"/payments/{asked['id']}/retry", Idempotency_Key="k").expect(202)
    again = paying.owner.post(f"/payments/{asked['id']}/retry", Idempotency_Key="k")
    assert (retried["status"], retried["failureReason"]) == ("PENDING", None)
    assert (again.json, again.headers["idempotent-replayed"]) == (retried, "true")
    settle(app, asked["id"])
    assert (payment(paying, asked["id"])["status"], pool(paying, protocol_id)["paid"]) == ("RELEASED", "40.00")
    assert books(app) == []


def test_only_a_failed_payment_is_retried_and_only_by_owners(app, api):
    asked = request_payment(api, confirmed(api, funded_protocol(api)))
    path = f"/payments/{asked['id']}/retry"
    refused = api.owner.post(path)
    assert (refused.status, refused.code) == (409, "INVALID_TRANSITION")
    assert "PENDING" in refused.json["detail"]
    settle(app, asked["id"])
    assert "RELEASED" in api.owner.post(path).json["detail"]
    assert api.validator.post(path).status == 403
    assert api.as_("owner", protocols=["other"]).post(path).status == 404


def test_after_a_worker_died_another_settles_the_payment_when_the_lease_expires(paying, service):
    app, protocol_id = app_of(paying), funded_protocol(paying)
    asked = request_payment(paying, confirmed(paying, protocol_id, "40.00"))
    with app.app_context():
        assert settlement.acquire(asked["id"]) is not None  # and then the worker is gone
    settle(app, asked["id"])
    assert (payment(paying, asked["id"])["status"], len(service.requests)) == ("PROCESSING", 0)
    make_due(app, asked["id"])
    settle(app, asked["id"])
    assert (payment(paying, asked["id"])["status"], payment(paying, asked["id"])["attempts"]) == ("RELEASED", "2")
    assert pool(paying, protocol_id)["paid"] == "40.00"


def test_a_late_refusal_does_not_undo_a_later_attempt(paying, service):
    """The first worker was only slow: its answer comes when another one holds the payment."""
    app, protocol_id = app_of(paying), funded_protocol(paying)
    asked = request_payment(paying, confirmed(paying, protocol_id, "40.00"))

    def taken_over():
        make_due(app, asked["id"])
        with app.app_context():
            assert settlement.acquire(asked["id"]) is not None

    service.replies = [Reply(400, b"no", before=taken_over)]
    settle(app, asked["id"])
    assert (payment(paying, asked["id"])["status"], payment(paying, asked["id"])["attempts"]) == ("PROCESSING", "2")


def test_two_workers_that_both_receive_the_payout_charge_it_once(paying, service):
    app, protocol_id = app_of(paying), funded_protocol(paying)
    asked = request_payment(paying, confirmed(paying, protocol_id, "40.00"))

    def another_worker_is_faster():
        make_due(app, asked["id"])
        settle(app, asked["id"])

    service.replies = [Reply(before=another_worker_is_faster)]
    settle(app, asked["id"])
    assert len(service.requests) == 2
    assert len(service.paid) == 1
    assert pool(paying, protocol_id)["paid"] == "40.00"
    assert event_summaries(app, protocol_id).count("PAYMENT_RELEASED") == 1
    assert books(app) == []


def test_the_sweep_enqueues_due_payments_only(app, api):
    protocol_id = funded_protocol(api)
    due, fresh, done = (request_payment(api, confirmed(api, protocol_id, "1.00"))["id"] for _ in range(3))
    settle(app, done)
    make_due(app, due)
    make_due(app, done)
    api.viewer.get(f"/payments/{fresh}").expect(200)
    with app.app_context():
        assert settlement.sweep() == 1


def test_a_payment_requested_while_the_broker_is_down_is_settled_later(app_with, api, valkey):
    """The payment is stored and accepted; the sweep settles it."""
    protocol_id = funded_protocol(api)
    path = confirmed(api, protocol_id, "1.00")
    from app.core.extensions import celery

    url = celery.conf.broker_url
    celery.conf.broker_url = "redis://127.0.0.1:1/0"
    try:
        asked = request_payment(api, path)
    finally:
        celery.conf.broker_url = url
    settle(app_of(api), asked["id"])
    assert payment(api, asked["id"])["status"] == "RELEASED"


# totals


def test_the_statistics_of_one_protocol_add_up(app, api):
    protocol_id = funded_protocol(api, "100.00")
    paths = [confirmed(api, protocol_id, "10.00") for _ in range(2)]
    asked = [request_payment(api, path)["id"] for path in paths]
    settle(app, asked[0])
    stats = api.viewer.get(f"/stats?protocolId={protocol_id}").expect(200)
    assert {name: stats["bountyPool"][name] for name in pool(api, protocol_id)} == pool(api, protocol_id)
    assert stats["vulnerabilities"]["total"] == "2"
    assert stats["vulnerabilities"]["byStatus"]["PAID"] == "1"
    assert stats["vulnerabilities"]["bySeverity"]["HIGH"] == "2"
    assert stats["payments"] == {"total": "10.00", "count": "1", "lastPayment": payment(api, asked[0])}
    assert stats["agents"] == {"online": "0", "busy": "0", "offline": "0"}


def test_statistics_without_a_protocol_cover_the_granted_ones_and_never_add_up_two_currencies(api):
    mine = [make_protocol(api), make_protocol(api), make_protocol(api, currency="ETH")]
    foreign = make_protocol(api)
    for protocol_id in [*mine, foreign]:
        deposit(api, protocol_id, "5.00")
        file_vulnerability(api, protocol_id)
    stats = api.as_("viewer", protocols=mine).get("/stats").expect(200)
    assert (stats["bountyPool"]["currency"], stats["bountyPool"]["total"]) == ("USDC", "10.00")
    assert [(each["currency"], each["total"]) for each in stats["bountyPool"]["byCurrency"]] == [
        ("ETH", "5.00"), ("USDC", "10.00"),
    ]  # fmt: skip
    assert stats["vulnerabilities"]["total"] == "3"
    assert stats["payments"] == {"total": "0.00", "count": "0", "lastPayment": None}
    assert api.viewer.get("/stats").expect(200)["bountyPool"]["total"] == "15.00"
    nobody = api.as_("viewer", protocols=[]).get("/stats").expect(200)
    assert (nobody["bountyPool"]["total"], nobody["vulnerabilities"]["total"]) == ("0.00", "0")


def test_statistics_of_a_protocol_without_a_grant_are_404(api):
    protocol_id = make_protocol(api)
    assert api.as_("viewer", protocols=["other"]).get(f"/stats?protocolId={protocol_id}").status == 404
    assert api.viewer.get("/stats?protocolId=not-there").status == 404
    assert api.viewer.get("/stats?protocolId=%00").status == 422
