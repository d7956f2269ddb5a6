"""One protocol's payments that fail or hang do not delay another's."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import update

from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.payments import settlement
from app.payments.gateway import BREAKER_FAILURES, BREAKER_OPEN_SECONDS
from app.payments.models import Payment
from tests.support.api import Api
from tests.support.money import (
    SECRET,
    PayoutService,
    Reply,
    at_once,
    confirmed,
    funded_protocol,
    make_due,
    request_payment,
    settle,
)
from tests.support.processes import free_port, until

FAR = {"PAYOUT_RETRY_BASE": "60", "PAYOUT_READ_TIMEOUT": "10"}


@pytest.fixture
def api(app_with, service: PayoutService) -> Api:
    return app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET, **FAR)


@pytest.fixture
def app(api: Api) -> Flask:
    return api.transport.client.application


def payments(api: Api, count: int) -> tuple[str, list[str]]:
    """A protocol and its PENDING payments."""
    protocol_id = funded_protocol(api)
    return protocol_id, [request_payment(api, confirmed(api, protocol_id, "1.00"))["id"] for _ in range(count)]


def shown(api: Api, payment_id: str) -> tuple[str, str]:
    found = api.viewer.get(f"/payments/{payment_id}").expect(200)
    return found["status"], found["attempts"]


def failing(protocol_id: str, reply: Reply) -> Callable[..., Reply | None]:
    return lambda request: reply if request.json["protocolId"] == protocol_id else None


@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.database("postgresql")
def test_thirty_failing_payments_of_one_protocol_do_not_delay_another(
    app: Flask, api: Api, service: PayoutService, status: int
) -> None:
    bad, failed = payments(api, 30)
    _, (healthy,) = payments(api, 1)
    service.choose = failing(bad, Reply(status))
    for payment_id in failed:
        settle(app, payment_id)

    settle(app, healthy)

    assert shown(api, healthy) == ("RELEASED", "1")
    assert {shown(api, each) for each in failed} == {("FAILED" if status == 400 else "PENDING", "1")}


def test_calls_that_hang_do_not_block_other_protocols(app: Flask, api: Api, service: PayoutService) -> None:
    bad, hanging = payments(api, 4)
    _, (healthy,) = payments(api, 1)
    over = threading.Event()
    service.choose = failing(bad, Reply(before=over.wait))
    calls = [threading.Thread(target=settle, args=(app, each)) for each in hanging[:2]]
    try:
        for call in calls:
            call.start()
        until(lambda: len(service.requests) == 2, 10, "two payments of the protocol are with the service")
        for payment_id in hanging[2:]:
            settle(app, payment_id)
        settle(app, healthy)
    finally:
        over.set()
        for call in calls:
            call.join()

    assert shown(api, healthy) == ("RELEASED", "1")
    assert {shown(api, each) for each in hanging[2:]} == {("PENDING", "0")}


def test_of_concurrent_workers_two_lease_payments_of_the_same_protocol(app: Flask, api: Api) -> None:
    _, asked = payments(api, 8)

    def lease(payment_id: str) -> bool:
        with app.app_context():
            return settlement.acquire(payment_id) is not None

    taken = at_once(8, [lambda each=each: lease(each) for each in asked])

    assert sum(taken) == settlement.MAX_CALLS_PER_PROTOCOL


def test_a_retried_payment_does_not_block_a_new_one(app: Flask, api: Api) -> None:
    _, asked = payments(api, 4)
    with app.app_context():
        for payment_id in asked[:2]:
            first = settlement.acquire(payment_id)
            settlement.release(first, settlement.PaymentStatus.PENDING, "HTTP 500")
        assert settlement.acquire(asked[0]) is not None
        assert settlement.acquire(asked[1]) is None  # a second retry
        assert settlement.acquire(asked[2]) is not None
        assert settlement.acquire(asked[3]) is None


def test_an_expired_lease_does_not_count_towards_the_limit_of_its_protocol(app: Flask, api: Api) -> None:
    _, asked = payments(api, 3)
    with app.app_context():
        assert all(settlement.acquire(each) for each in asked[:2])
        make_due(app, asked[0])
        assert settlement.acquire(asked[2]) is not None


@pytest.fixture
def enqueued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the settlement hands to the workers."""
    found: list[str] = []
    monkeypatch.setattr(settlement, "enqueue", lambda payment_id, *_: found.append(payment_id))
    return found


def test_after_each_call_the_protocols_next_payment_is_enqueued(app: Flask, api: Api, enqueued: list[str]) -> None:
    _, (first, second, third) = payments(api, 3)
    payments(api, 1)
    make_due(app, third)

    settle(app, first)
    settle(app, third)
    settle(app, second)

    assert enqueued == [third, second]


def test_the_sweep_enqueues_each_protocols_first_payment_before_any_second(
    app: Flask, api: Api, enqueued: list[str]
) -> None:
    _, many = payments(api, 5)
    _, (other,) = payments(api, 1)
    for payment_id in [*many, other]:
        make_due(app, payment_id)

    with app.app_context():
        assert settlement.sweep() == 3

    assert {enqueued[0], enqueued[1]} & set(many)
    assert other in enqueued[:2]
    assert enqueued[2] in many


def test_the_sweep_leaves_new_payments_to_the_broker_for_two_seconds(app: Flask, api: Api, enqueued: list[str]) -> None:
    payments(api, 1)
    with app.app_context():
        assert settlement.sweep() == 0


def test_the_sweep_takes_a_payment_that_was_tried_as_soon_as_it_is_due(
    app: Flask, api: Api, enqueued: list[str]
) -> None:
    _, (payment_id,) = payments(api, 1)
    with app.app_context():
        settlement.release(settlement.acquire(payment_id), settlement.PaymentStatus.PENDING, "HTTP 500")

        assert settlement.sweep() == 1
    assert enqueued == [payment_id]


def test_a_sweep_is_bounded(app: Flask, api: Api, enqueued: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "MAX_SWEPT", 2)
    for _ in range(3):
        make_due(app, payments(api, 1)[1][0])
    with app.app_context():
        assert settlement.sweep() == 2


def test_while_the_service_cannot_be_reached_payments_wait_without_an_attempt(
    app_with: Callable[..., Api], service: PayoutService
) -> None:
    api = app_with(PAYOUT_URL=f"http://127.0.0.1:{free_port()}/", PAYOUT_SECRET=SECRET, **FAR)
    app = api.transport.client.application
    _, asked = payments(api, BREAKER_FAILURES + 1)
    for payment_id in asked:
        settle(app, payment_id)
    assert shown(api, asked[0]) == ("PENDING", "1")
    assert shown(api, asked[-1]) == ("PENDING", "0")
    with app.app_context():
        postponed = db.session.get_one(Payment, asked[-1]).due_at - utc_now()
    assert postponed.total_seconds() <= BREAKER_OPEN_SECONDS

    app.extensions["dashboard_config"] = replace(app.extensions["dashboard_config"], payout_url=service.url)
    app.extensions["payout_breaker"].open_until = 0.0  # the pause is over
    for payment_id in asked:
        make_due(app, payment_id)
        settle(app, payment_id)

    assert {shown(api, each)[0] for each in asked} == {"RELEASED"}
    assert app.extensions["payout_breaker"].failures == 0


def test_the_sweep_counts_payments_that_were_tried_once_apart_from_new_ones(
    app: Flask, api: Api, enqueued: list[str]
) -> None:
    _, asked = payments(api, 6)
    for payment_id in asked:
        make_due(app, payment_id)
    tried = asked[:3]
    with app.app_context():
        with transaction() as session:
            session.execute(update(Payment).where(Payment.id.in_(tried)).values(attempts=1))

        assert settlement.sweep() == 2 * settlement.MAX_CALLS_PER_PROTOCOL

    assert len(set(enqueued) & set(tried)) == settlement.MAX_CALLS_PER_PROTOCOL
