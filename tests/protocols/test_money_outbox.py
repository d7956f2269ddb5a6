"""Events of money commit with their change and are emitted later, once and in order, after a Redis outage."""

import logging
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from app.core import concurrency
from app.core.extensions import db
from app.protocols import service as protocols
from app.realtime import limiter, outbox
from app.realtime.outbox import OutboxEvent
from tests.factories import deposit, make_protocol
from tests.support.emissions import await_marks
from tests.support.money import confirmed, event_summaries, funded_protocol, pool, request_payment, settle

NOBODY = "redis://127.0.0.1:1/0"
STORY = [
    "DEPOSIT", "discovered", "RESERVATION", "CONFIRMED",
    "payment PENDING", "PAYMENT_RELEASED", "payment RELEASED", "PAID",
]  # fmt: skip


def unpublished(app):
    with app.app_context():
        await_marks()
        count = select(func.count()).select_from(OutboxEvent).where(OutboxEvent.published_at.is_(None))
        return db.session.scalar(count)


def test_without_redis_deposits_are_stored_and_their_events_wait(app, app_with):
    down = app_with(REDIS_URL=NOBODY)
    protocol_id = funded_protocol(down)
    payment = request_payment(down, confirmed(down, protocol_id))
    settle(down.transport.client.application, payment["id"])

    assert down.viewer.get(f"/payments/{payment['id']}").expect(200)["status"] == "RELEASED"
    assert pool(down, protocol_id)["paid"] == "100.00"
    assert event_summaries(app, protocol_id) == STORY
    assert unpublished(app) == len(STORY)


def test_the_sweep_emits_waiting_events_once_and_in_order(app, api, app_with):
    down = app_with(REDIS_URL=NOBODY)
    protocol_id = make_protocol(api)
    deposit(down, protocol_id, "1000.00")
    payment = request_payment(down, confirmed(down, protocol_id))
    settle(down.transport.client.application, payment["id"])

    with app.app_context():
        assert outbox.sweep() == len(STORY)
        assert limiter.current_seq(protocol_id) == str(len(STORY))
        assert outbox.sweep() == 0
        assert limiter.current_seq(protocol_id) == str(len(STORY))
    assert unpublished(app) == 0


def test_a_refused_request_leaves_no_event(app, api):
    protocol_id = funded_protocol(api, "1.00")
    body = {"title": "t", "severity": "LOW", "bounty": "2.00"}
    assert api.validator.post(f"/protocols/{protocol_id}/vulnerabilities", body).status == 409
    assert event_summaries(app, protocol_id) == ["DEPOSIT"]


def test_events_of_changes_at_the_same_moment_are_relayed_once_each(api, caplog):
    caplog.set_level(logging.INFO, "app.realtime.outbox")
    protocol_id = make_protocol(api)
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: deposit(api, protocol_id, "1.00"), range(40)))

    assert len(answers) == 40
    assert len(relayed(caplog)) == 40


def test_a_relay_that_waited_too_long_leaves_the_events_to_the_running_one(
    in_context, api, app_with, caplog, monkeypatch
):
    caplog.set_level(logging.INFO, "app.realtime.outbox")
    down = app_with(REDIS_URL=NOBODY)
    protocol_id = make_protocol(api)
    deposit(down, protocol_id, "1.00")
    publish, second = outbox._emit, []

    def publish_after_a_second_relay(*arguments):
        if not second:
            second.append("runs")
            second.append(outbox.relay(protocol_id))
        return publish(*arguments)

    monkeypatch.setattr(concurrency, "LOCK_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "_emit", publish_after_a_second_relay)

    assert outbox.relay(protocol_id) == 1
    assert second == ["runs", 0]
    assert len(relayed(caplog)) == 1
    assert limiter.current_seq(protocol_id) == "1"


def relayed(caplog):
    return [record for record in caplog.records if record.message == "event.relayed"]


def test_a_response_shows_the_pool_right_after_its_own_change(in_context, api):
    protocol_id = make_protocol(api)
    with in_context.test_request_context():
        first = protocols.deposit(protocol_id, 1_000_000, None, "owner")
        protocols.deposit(protocol_id, 1_000_000, None, "owner")

    assert (first["pool"]["total_minor"], first["pool"]["version"], first["entry"]["version"]) == (1_000_000, 1, 1)
