"""Each attempt to pay: its lease, its pause, and how a payout is recorded."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask

from app.cli.doctor import CHECKS, run_check
from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.payments import gateway, settlement
from app.payments.models import Payment
from app.payments.reconciliation import STUCK_ATTEMPTS
from app.protocols import service as protocols
from app.protocols.rules import ChangeType
from tests.support.api import Api
from tests.support.money import (
    SECRET,
    PayoutService,
    Reply,
    books,
    confirmed,
    funded_protocol,
    make_due,
    pool,
    request_payment,
    settle,
)

NO_PAUSE, LONG_PAUSE = {"PAYOUT_RETRY_BASE": "0"}, {"PAYOUT_RETRY_BASE": "60", "PAYOUT_RETRY_CAP": "60"}


@pytest.fixture
def paying(app_with, service: PayoutService) -> Callable[..., Api]:
    """`paying(SETTING="…")`: an API whose app pays through the service."""
    return lambda **more: app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET, **more)


def app_of(api: Api) -> Flask:
    return api.transport.client.application


def asked(api: Api, amount: str = "40.00") -> str:
    return request_payment(api, confirmed(api, funded_protocol(api), amount))["id"]


def shown(api: Api, payment_id: str) -> dict:
    return api.viewer.get(f"/payments/{payment_id}").expect(200)


def due_at(api: Api, payment_id: str) -> datetime:
    with app_of(api).app_context():
        return db.session.get_one(Payment, payment_id).due_at


def wait_of(api: Api, payment_id: str, act: Callable[[], None]) -> tuple[float, float]:
    """The least and the most seconds by which `act` has put the payment off."""
    before = utc_now()
    act()
    due, after = due_at(api, payment_id), utc_now()
    return (due - after).total_seconds(), (due - before).total_seconds()


def test_a_lease_lasts_as_long_as_the_max_call_seconds_and_some_slack(paying: Callable[..., Api]) -> None:
    api = paying(PAYOUT_CONNECT_TIMEOUT="7", PAYOUT_READ_TIMEOUT="11")
    payment_id = asked(api)

    def lease() -> None:
        with app_of(api).app_context():
            assert settlement.acquire(payment_id) is not None

    least, most = wait_of(api, payment_id, lease)

    assert least <= 7 + 2 * 11 + 3 <= most


def test_a_payment_can_be_leased_again_only_after_its_lease_expired(paying: Callable[..., Api]) -> None:
    api = paying()
    payment_id = asked(api)
    with app_of(api).app_context():
        leased = settlement.acquire(payment_id)
        assert settlement.acquire(payment_id) is None
        make_due(app_of(api), payment_id)
        again = settlement.acquire(payment_id)
    assert (leased.attempts, again.attempts) == (1, 2)


@pytest.mark.parametrize("status", [409, 429, 503])
def test_the_pause_that_the_service_asks_for_is_kept(
    paying: Callable[..., Api], service: PayoutService, status: int
) -> None:
    api = paying(**NO_PAUSE)
    payment_id = asked(api)
    service.replies = [Reply(status, b"in progress", headers={"Retry-After": "25"})]

    least, most = wait_of(api, payment_id, lambda: settle(app_of(api), payment_id))
    settle(app_of(api), payment_id)

    assert least <= 25 <= most
    assert (shown(api, payment_id)["status"], len(service.requests)) == ("PENDING", 1)
    make_due(app_of(api), payment_id)
    settle(app_of(api), payment_id)
    assert shown(api, payment_id)["status"] == "RELEASED"
    assert len({request.key for request in service.requests}) == 1


def test_no_pause_exceeds_the_configured_maximum(paying: Callable[..., Api], service: PayoutService) -> None:
    api = paying(PAYOUT_RETRY_BASE="0", PAYOUT_RETRY_CAP="20")
    payment_id = asked(api)
    service.replies = [Reply(503, headers={"Retry-After": "9" * 400})]

    least, most = wait_of(api, payment_id, lambda: settle(app_of(api), payment_id))

    assert least <= 20 <= most


def test_a_short_pause_that_the_service_asks_for_does_not_shorten_ours(
    paying: Callable[..., Api], service: PayoutService
) -> None:
    api = paying(**LONG_PAUSE)
    payment_id = asked(api)
    service.replies = [Reply(429, headers={"Retry-After": "0"})]

    _, most = wait_of(api, payment_id, lambda: settle(app_of(api), payment_id))

    assert most >= 30


@pytest.mark.parametrize(
    ("answer", "stored"), [(b'{"reference": "tx\\ud800\\u0000"}', "tx"), (b'{"reference": 4711}', "4711")]
)
def test_a_payment_with_an_odd_reference_is_released_at_once(
    paying: Callable[..., Api], service: PayoutService, answer: bytes, stored: str
) -> None:
    api = paying()
    payment_id = asked(api)
    service.replies = [Reply(200, answer)]

    settle(app_of(api), payment_id)

    assert (shown(api, payment_id)["status"], shown(api, payment_id)["reference"]) == ("RELEASED", stored)
    assert len(service.requests) == 1
    assert books(app_of(api)) == []


def fail_to_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction that records a payout fails at its last but one step."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("the pool does not take it")

    monkeypatch.setattr(protocols, "apply_change", refuse)


def test_a_payout_that_cannot_be_recorded_waits_and_is_recorded_without_asking_again(
    paying: Callable[..., Api], service: PayoutService, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    api = paying(**LONG_PAUSE)
    payment_id = asked(api)
    with monkeypatch.context() as broken:
        fail_to_record(broken)
        least, _ = wait_of(api, payment_id, lambda: settle(app_of(api), payment_id))
        settle(app_of(api), payment_id)  # it is not due
        held = shown(api, payment_id)
        make_due(app_of(api), payment_id)
        settle(app_of(api), payment_id)
    assert least > 20
    assert (held["status"], held["attempts"], held["reference"]) == ("PENDING", "1", "tx-1")
    assert held["lastError"] == "paid, but not recorded (RuntimeError)"
    assert shown(api, payment_id)["attempts"] == "2"
    records = [each for each in caplog.records if each.getMessage() == "payment.paid_not_recorded"]
    assert [(each.paymentId, each.reference, each.levelname) for each in records] == [(payment_id, "tx-1", "ERROR")] * 2

    make_due(app_of(api), payment_id)
    settle(app_of(api), payment_id)

    assert (shown(api, payment_id)["status"], shown(api, payment_id)["lastError"]) == ("RELEASED", None)
    assert len(service.requests) == 1
    assert books(app_of(api)) == []


def test_without_a_reference_to_keep_the_same_key_is_sent_again(
    paying: Callable[..., Api], service: PayoutService, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = paying(**LONG_PAUSE)
    payment_id = asked(api)
    service.replies = [Reply(200, b'{"reference": "\\u0000"}')] * 2
    with monkeypatch.context() as broken:
        fail_to_record(broken)
        settle(app_of(api), payment_id)
    assert shown(api, payment_id)["lastError"] == "paid, but not recorded (RuntimeError)"
    make_due(app_of(api), payment_id)

    settle(app_of(api), payment_id)

    assert (shown(api, payment_id)["status"], shown(api, payment_id)["reference"]) == ("RELEASED", None)
    assert {request.key for request in service.requests} == {payment_id}


def test_a_payout_that_could_not_be_recorded_does_not_undo_a_later_attempt(
    paying: Callable[..., Api], service: PayoutService, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = paying(**LONG_PAUSE)
    payment_id = asked(api)

    def taken_over() -> None:
        make_due(app_of(api), payment_id)
        with app_of(api).app_context():
            assert settlement.acquire(payment_id) is not None

    service.replies = [Reply(200, b'{"reference": "tx"}', before=taken_over)]
    fail_to_record(monkeypatch)
    settle(app_of(api), payment_id)

    assert (shown(api, payment_id)["status"], shown(api, payment_id)["attempts"]) == ("PROCESSING", "2")


def test_without_a_payout_service_a_failure_to_record_is_shown_as_well(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = asked(api)
    with monkeypatch.context() as broken:
        fail_to_record(broken)
        settle(app_of(api), payment_id)
    assert shown(api, payment_id)["lastError"] == "paid, but not recorded (RuntimeError)"
    make_due(app_of(api), payment_id)
    settle(app_of(api), payment_id)
    assert shown(api, payment_id)["status"] == "RELEASED"


def test_a_retry_after_a_refusal_pays_and_uses_the_same_key(paying: Callable[..., Api], service: PayoutService) -> None:
    api = paying(**LONG_PAUSE)
    payment_id = asked(api)
    service.replies = [Reply(422, b"no such recipient")]
    settle(app_of(api), payment_id)
    assert shown(api, payment_id)["status"] == "FAILED"

    retried = api.owner.post(f"/payments/{payment_id}/retry").expect(202)
    settle(app_of(api), payment_id)

    assert (retried["status"], retried["attempts"], retried["lastError"]) == (
        "PENDING",
        "1",
        "HTTP 422: no such recipient",
    )
    assert (shown(api, payment_id)["status"], shown(api, payment_id)["attempts"]) == ("RELEASED", "2")
    assert {request.key for request in service.requests} == {payment_id}


# what a payment changes in its vulnerability and in the pool


def test_each_step_of_a_payment_raises_the_vulnerabilitys_version_and_update_time(
    paying: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = paying()
    path = confirmed(api, funded_protocol(api), "40.00")
    states = [api.viewer.get(path).expect(200)]
    clock = [utc_now() + timedelta(hours=1)]
    for module in ("app.payments.service", "app.vulnerabilities.service"):
        monkeypatch.setattr(f"{module}.utc_now", lambda: clock[0])
    payment_id = request_payment(api, path, amount="30.00")["id"]
    states.append(api.viewer.get(path).expect(200))
    make_due(app_of(api), payment_id)
    clock[0] += timedelta(hours=1)
    settle(app_of(api), payment_id)
    states.append(api.viewer.get(path).expect(200))

    assert [int(each["version"]) for each in states] == [2, 3, 4]
    assert states[0]["updatedAt"] < states[1]["updatedAt"] < states[2]["updatedAt"]
    assert len({each["createdAt"] for each in states}) == 1


def test_after_a_payout_no_more_can_be_reserved_than_is_available(paying: Callable[..., Api]) -> None:
    api = paying()
    protocol_id = funded_protocol(api, "100.00")
    settle(app_of(api), request_payment(api, confirmed(api, protocol_id, "60.00"))["id"])
    path = confirmed(api, protocol_id, None)

    refused = api.owner.post(f"{path}/payment", {"recipient": "r", "amount": "40.000001"})
    filed = api.validator.post(
        f"/protocols/{protocol_id}/vulnerabilities", {"title": "t", "severity": "LOW", "bounty": "100.00"}
    )
    request_payment(api, path, amount="40.00")

    assert (refused.status, refused.code) == (409, "INSUFFICIENT_FUNDS")
    assert (filed.status, filed.code) == (409, "INSUFFICIENT_FUNDS")
    after = pool(api, protocol_id)
    assert (after["available"], after["reserved"], after["paid"]) == ("0.00", "40.00", "60.00")


@pytest.mark.parametrize("kind", [ChangeType.RESERVATION_RELEASED, ChangeType.PAYMENT_RELEASED])
def test_no_more_is_released_or_paid_than_is_reserved(paying: Callable[..., Api], kind: ChangeType) -> None:
    """By the condition of the UPDATE: the database's CHECK is the last resort, and its answer 503."""
    api = paying()
    protocol_id = funded_protocol(api, "100.00")
    confirmed(api, protocol_id, "60.00")

    with app_of(api).app_context():
        with pytest.raises(RuntimeError, match="reservations"), transaction() as session:
            protocols.apply_change(session, protocol_id, kind, 60_000_001, "system")
        with transaction() as session:
            protocols.apply_change(session, protocol_id, kind, 60_000_000, "system")

    assert pool(api, protocol_id)["reserved"] == "0.00"


def test_a_deposit_beyond_the_largest_amount_is_refused_whatever_was_paid(paying: Callable[..., Api]) -> None:
    api = paying()
    protocol_id = funded_protocol(api, "999999999999.999999")
    settle(app_of(api), request_payment(api, confirmed(api, protocol_id, "999999999999.00"))["id"])

    refused = api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "0.000001"})

    assert (refused.status, refused.code) == (409, "AMOUNT_TOO_LARGE")


def test_a_smaller_payment_releases_exactly_the_rest_and_charges_exactly_its_amount(
    paying: Callable[..., Api],
) -> None:
    api = paying()
    protocol_id = funded_protocol(api, "10.00")
    path = confirmed(api, protocol_id, "8.00")
    payment_id = request_payment(api, path, amount="3.00")["id"]
    settle(app_of(api), payment_id)

    entries = api.viewer.get(f"/protocols/{protocol_id}/pool/entries").expect(200)["items"]

    assert [(each["changeType"], each["amount"]) for each in entries] == [
        ("PAYMENT_RELEASED", "3.00"),
        ("RESERVATION_RELEASED", "5.00"),
        ("RESERVATION", "8.00"),
        ("DEPOSIT", "10.00"),
    ]
    assert [each["paymentId"] for each in entries] == [payment_id, payment_id, None, None]
    assert (api.viewer.get(path).expect(200)["bounty"], pool(api, protocol_id)["available"]) == ("8.00", "7.00")
    assert books(app_of(api)) == []


def verdict(api: Api, capsys: pytest.CaptureFixture[str]) -> str:
    """What `dashboard doctor` says of payments."""
    with app_of(api).app_context():
        run_check(next(check for check in CHECKS if check.name == "payments"))
    return capsys.readouterr().out


def test_doctor_names_payments_that_are_stuck(
    paying: Callable[..., Api], service: PayoutService, capsys: pytest.CaptureFixture[str]
) -> None:
    api = paying(**NO_PAUSE)
    payment_id = asked(api)
    service.choose = lambda _: Reply(503, b"no disk")
    settle(app_of(api), payment_id)
    assert verdict(api, capsys).startswith("ok   payments")
    for _ in range(STUCK_ATTEMPTS - 1):
        settle(app_of(api), payment_id)

    printed = verdict(api, capsys)

    assert printed.startswith("FAIL payments")
    assert f"{payment_id} of " in printed
    assert "(5 attempts): HTTP 503: no disk" in printed


def test_doctor_names_a_payment_that_was_paid_and_not_recorded_at_once(
    paying: Callable[..., Api], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = paying()
    payment_id = asked(api)
    fail_to_record(monkeypatch)
    settle(app_of(api), payment_id)

    assert f"{payment_id} of " in verdict(api, capsys)


def test_a_call_lasts_no_longer_than_connect_timeout_and_twice_the_read_timeout(paying: Callable[..., Api]) -> None:
    with app_of(paying(PAYOUT_CONNECT_TIMEOUT="3", PAYOUT_READ_TIMEOUT="4")).app_context() as context:
        assert gateway.max_call_seconds(context.app.extensions["dashboard_config"]) == 11
