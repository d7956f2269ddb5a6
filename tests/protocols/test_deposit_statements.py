"""A deposit's round trips to the database: no statement, transaction or connection more than it needs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select

from app.audit.service import AuditAction, AuditEntry, record_audit
from app.core.database import transaction
from app.core.extensions import db
from app.realtime import outbox
from app.realtime.events import EventType
from app.realtime.outbox import OutboxEvent
from tests.factories import deposit, make_protocol
from tests.support.api import Api
from tests.support.emissions import await_marks

CLAIM, STORE = "INSERT INTO idempotency_keys", "UPDATE idempotency_keys"
CHANGE = "UPDATE bounty_pools"
ROWS = [
    "INSERT INTO bounty_entries", "UPDATE event_counters", "INSERT INTO outbox_events", "INSERT INTO audit_entries"
]  # fmt: skip
TOGETHER = ["WITH w0 AS"]
MARK = "UPDATE outbox_events"
Recorder = Callable[[], AbstractContextManager[list[str]]]


@pytest.fixture
def recorded(in_context: Flask) -> Recorder:
    """`with recorded() as statements:` their first words, and COMMIT."""

    @contextmanager
    def record() -> Iterator[list[str]]:
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            words = statement.split()
            seen.append(" ".join(words[: 2 if words[0] == "UPDATE" else 3]))

        def note_commit(_connection: Any) -> None:
            seen.append("COMMIT")

        listeners = (("before_cursor_execute", note), ("commit", note_commit))
        for name, listener in listeners:
            event.listen(db.engine, name, listener)
        try:
            yield seen
        finally:
            for name, listener in listeners:
                event.remove(db.engine, name, listener)

    return record


def shown(statements: list[str]) -> list[str]:
    return [each for each in statements if not each.startswith("BEGIN")]


@pytest.fixture
def has_round_trips(in_context: Flask) -> bool:
    return db.engine.dialect.name == "postgresql"


def test_a_deposit_with_a_key_is_three_statements_and_one_commit(
    api: Api, recorded: Recorder, *, has_round_trips: bool
) -> None:
    path = f"/protocols/{make_protocol(api)}/deposits"
    await_marks()
    with recorded() as statements:
        api.owner.post(path, {"amount": "1.00"}, Idempotency_Key="k").expect(201)
        in_request = shown(statements)

    final = TOGETHER if has_round_trips else [*ROWS, STORE]
    assert in_request == [CLAIM, CHANGE, *final, "COMMIT"]


def test_marks_of_deposits_at_the_same_moment_share_a_transaction(
    api: Api, recorded: Recorder, *, has_round_trips: bool
) -> None:
    protocol_id = make_protocol(api)
    with recorded() as statements:
        for _ in range(4):
            deposit(api, protocol_id, "1.00")
        await_marks()

    marks = [index for index, each in enumerate(statements) if each == MARK]
    of_a_deposit = [CHANGE, *(TOGETHER if has_round_trips else ROWS), "COMMIT"]
    assert len(shown(statements)) == 4 * len(of_a_deposit) + 2 * len(marks)
    assert len(marks) < 4


def test_writes_into_one_table_are_stored_in_their_order(
    api: Api, recorded: Recorder, *, has_round_trips: bool
) -> None:
    protocol_id = make_protocol(api)
    with recorded() as statements, transaction() as session:
        for number in range(3):
            record_audit(session, AuditAction.DEPOSIT, f"target-{number}")
            outbox.append(session, protocol_id, EventType.BOUNTY_POOL_UPDATED, {"number": number})

    stored = db.session.scalars(select(AuditEntry.target_id).order_by(AuditEntry.id))
    positions = db.session.scalars(select(OutboxEvent.position).order_by(OutboxEvent.id))
    assert (list(stored), list(positions)) == ([f"target-{number}" for number in range(3)], [1, 2, 3])
    assert statements.count(TOGETHER[0]) == (3 if has_round_trips else 0)
    assert outbox.relay(protocol_id) == 3
