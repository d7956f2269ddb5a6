"""The relay when an event fails: order, marks, and nothing skipped or lost."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.core.database import transaction
from app.core.extensions import db, redis_client
from app.realtime import limiter, outbox
from app.realtime.events import EventType
from app.realtime.outbox import OutboxEvent
from tests.factories import deposit, make_agent, make_protocol, report
from tests.support.room_reader import reading

pytestmark = pytest.mark.database("sqlite")


@pytest.fixture
def store(api, monkeypatch) -> Callable[[str, list[str]], None]:
    """`store(protocol, ["1.00", "2.00"])`: deposits whose events wait, as after a crash."""

    def deposits(protocol_id: str, amounts: list[str]) -> None:
        with monkeypatch.context() as crash:
            crash.setattr(outbox, "relay", lambda _: 0)
            for amount in amounts:
                deposit(api, protocol_id, amount)

    return deposits


@pytest.fixture
def fail_on(in_context, monkeypatch) -> Callable[[str], Any]:
    """`with fail_on('"amount":"2.00"'):` Redis does not take what holds this text."""
    connection = in_context.extensions["rooms_redis"]
    take = connection.call

    @contextmanager
    def failing(text: str) -> Iterator[None]:
        def call(slot: int, *command: Any) -> Any:
            if any(text in str(part) for part in command):
                raise redis.TimeoutError("too late")
            return take(slot, *command)

        with monkeypatch.context() as outage:
            outage.setattr(connection, "call", call)
            yield

    return failing


def marks(protocol_id: str) -> list[bool]:
    """Whether each stored event is marked as published, in order."""
    query = select(OutboxEvent.published_at).where(OutboxEvent.protocol_id == protocol_id)
    found = [at is not None for at in db.session.scalars(query.order_by(OutboxEvent.position))]
    db.session.rollback()
    return found


def test_a_failed_event_holds_back_later_ones_and_is_emitted_first(protocol_id, store, fail_on, caplog) -> None:
    store(protocol_id, ["1.00", "2.00", "3.00"])
    with reading(redis_client(), protocol_id) as room:
        with fail_on('"amount":"2.00"'):
            assert outbox.relay(protocol_id) == 1
        assert marks(protocol_id) == [True, False, False]
        assert limiter.current_seq(protocol_id) == "1"
        assert outbox.relay(protocol_id) == 2
        events = room.wait_for(3)

    assert marks(protocol_id) == [True, True, True]
    assert [(each["seq"], each["data"]["amount"]) for each in events] == [("1", "1.00"), ("2", "2.00"), ("3", "3.00")]
    [failed] = [each for each in caplog.records if each.message == "event.emission_failed"]
    assert (failed.levelname, failed.room, failed.eventType) == (
        "ERROR", f"protocol:{protocol_id}", "bounty_pool:updated",
    )  # fmt: skip
    assert json.loads(failed.data)["amount"] == "2.00"
    assert "too late" in failed.error


def test_when_the_first_event_fails_none_is_emitted_or_marked(protocol_id, store, fail_on, counted) -> None:
    store(protocol_id, ["1.00", "2.00"])
    before = counted("dashboard_emission_failures_total")
    with fail_on('"amount":"1.00"'):
        assert outbox.relay(protocol_id) == 0
    assert marks(protocol_id) == [False, False]
    assert limiter.current_seq(protocol_id) == "0"
    assert counted("dashboard_emission_failures_total") == before + 1
    assert outbox.relay(protocol_id) == 2


def test_a_failed_terminal_update_holds_back_later_events(api, protocol_id, store, fail_on, monkeypatch) -> None:
    agent_id = make_agent(api)
    store(protocol_id, ["1.00"])
    with monkeypatch.context() as crash:
        crash.setattr(outbox, "relay", lambda _: 0)
        body = report(protocol_id, "doomed", status="COMPLETED")
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)
    store(protocol_id, ["2.00"])

    with fail_on("doomed"):
        assert outbox.relay(protocol_id) == 1
    assert marks(protocol_id) == [True, False, False]
    assert outbox.relay(protocol_id) == 2
    assert marks(protocol_id) == [True, True, True]


def test_a_failure_in_one_protocol_holds_back_no_other(api, store, fail_on) -> None:
    failing, well = make_protocol(api), make_protocol(api)
    store(failing, ["7.77"])
    store(well, ["1.00", "2.00"])
    with fail_on('"amount":"7.77"'):
        assert outbox.sweep() == 2
    assert (marks(failing), marks(well)) == ([False], [True, True])
    assert outbox.sweep() == 1


def test_an_event_emitted_but_not_marked_is_marked_and_not_emitted_again(
    in_context, protocol_id, store, monkeypatch
) -> None:
    store(protocol_id, ["1.00", "2.00"])

    def crash() -> None:
        raise OperationalError("update", {}, Exception("the database is away"))

    with monkeypatch.context() as outage:
        outage.setattr(outbox, "transaction", crash)
        assert outbox.relay(protocol_id) == 0
    assert marks(protocol_id) == [False, False]
    assert limiter.current_seq(protocol_id) == "2"

    assert outbox.relay(protocol_id) == 2
    assert marks(protocol_id) == [True, True]
    assert limiter.current_seq(protocol_id) == "2"


def test_a_database_that_does_not_answer_ends_the_relay_and_is_logged(
    in_context, protocol_id, monkeypatch, caplog
) -> None:
    def fails(*_: object) -> None:
        raise OperationalError("select", {}, Exception("the database is away"))

    monkeypatch.setattr(db.session, "execute", fails)
    assert outbox.relay(protocol_id) == 0
    [warning] = [each for each in caplog.records if each.message == "outbox.relay_failed"]
    assert (warning.levelname, warning.protocolId) == ("WARNING", protocol_id)


def test_events_beyond_the_batches_of_a_relay_are_emitted_in_order_by_the_sweep(
    in_context, protocol_id, monkeypatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_BATCHES", 1)
    with transaction() as session:
        for number in range(outbox.BATCH + 5):
            outbox.append(session, protocol_id, EventType.VULN_STATUS_CHANGED, {"number": number})
    assert outbox.relay(protocol_id) == outbox.BATCH
    assert marks(protocol_id) == [True] * outbox.BATCH + [False] * 5
    assert outbox.sweep() == 5
    assert outbox.sweep() == 0
    assert limiter.current_seq(protocol_id) == str(outbox.BATCH + 5)


def test_positions_count_per_protocol_and_numbers_in_events_become_strings(api, in_context) -> None:
    one, other = make_protocol(api), make_protocol(api)
    with transaction() as session:
        for protocol_id in (one, other, one):
            outbox.append(session, protocol_id, EventType.VULN_STATUS_CHANGED, {"amount": 1, "deep": [{"n": 2}]})
    rows = db.session.execute(
        select(OutboxEvent.protocol_id, OutboxEvent.position, OutboxEvent.data_json, OutboxEvent.published_at).where(
            OutboxEvent.protocol_id.in_([one, other])
        )
    ).all()
    assert sorted((row[0], row[1]) for row in rows) == sorted([(one, 1), (one, 2), (other, 1)])
    assert all(json.loads(row[2]) == {"amount": "1", "deep": [{"n": "2"}]} for row in rows)
    assert all(row[3] is None for row in rows)


def test_one_call_relays_more_events_than_a_batch_holds(api, in_context) -> None:
    protocol_id = make_protocol(api)
    count = 2 * outbox.BATCH + 1
    with transaction() as session:
        outbox.append(session, protocol_id, EventType.BOUNTY_POOL_UPDATED, *({"version": n} for n in range(count)))

    assert outbox.relay(protocol_id) == count
    assert marks(protocol_id) == [True] * count


def test_the_event_of_a_deposit_leaves_before_the_response(api, in_context) -> None:
    protocol_id = make_protocol(api)

    deposit(api, protocol_id, "1.00")

    assert marks(protocol_id) == [True]


def test_no_transaction_is_open_while_redis_is_called(store, api, in_context, monkeypatch) -> None:
    """An open one would keep old rows alive in PostgreSQL for as long as Redis does not answer."""
    protocol_id = make_protocol(api)
    store(protocol_id, ["1.00"])
    emit, open_ones = outbox._emit, []

    def emit_and_look(*args: Any) -> bool:
        open_ones.append(db.session().in_transaction())
        return emit(*args)

    monkeypatch.setattr(outbox, "_emit", emit_and_look)

    assert (outbox.relay(protocol_id), open_ones) == (1, [False])
