"""What moves with every change of a protocol's state, so that an unchanged one is recognized without being built.

Read before the state itself: a change in between makes the revision older than the state, never newer. Time changes a
state as well: `AgentsSection.holds` (agents/reported.py) tells for how long.

| part of the state | what moves with it |
|---|---|
| `seq` | itself |
| pool, vulnerabilities, most of payments | the position of the protocol's newest stored event; its time tells two of the same position apart, of which a restored database has lost one |
| payments between two events | version and due time of the latest, as attempts change them without an event |
| agents, as Redis knows them | `changes` of their room, which its scripts count, and the number of those seen within a day |
| agents, as the database knows them | number and versions of the stored tasks that a state may show |
| names, types, the protocol | nothing: they never change |
"""  # noqa: E501 - a table

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Connection, bindparam, func, select, true

from app.agents.models import Agent, TaskStatus
from app.agents.reported import RECENT_US
from app.core.extensions import db
from app.payments.models import Payment
from app.payments.service import MAX_SHOWN
from app.realtime.agent_records import read
from app.realtime.emitter import rooms_redis
from app.realtime.events import EventType
from app.realtime.outbox import EventCounter, OutboxEvent
from app.realtime.redis_keys import partition_key, partition_of, room_key

MAX_EVENTS = 200
_decode: Any = msgspec.json.Decoder().decode

# On tables: a statement of the models takes twice as long.
_agents, _payments = Agent.__table__.c, Payment.__table__.c
_counters, _events = EventCounter.__table__.c, OutboxEvent.__table__.c
_protocol: Any = bindparam("protocol")
_since = bindparam("since", type_=BigInteger)
_LATEST_PAYMENTS = (
    select(_payments.protocol_id, _payments.id, _payments.version, _payments.due_at)
    .where(_payments.protocol_id == _protocol)
    .order_by(_payments.id.desc())
    .limit(MAX_SHOWN)
    .subquery()
)
_is_newest = (_events.protocol_id == _counters.protocol_id) & (_events.position == _counters.position)
# Each is answered by an index alone. A sum of the versions, which are microseconds, would not fit in 64 bits.
_NUMBER_AND_VERSIONS = select(func.count(), func.sum(_agents.task_version % 1_000_000_007))
_is_running = (_agents.task_protocol_id == _protocol) & (_agents.task_status == TaskStatus.RUNNING.value)
_RUNNING = _NUMBER_AND_VERSIONS.where(_is_running).subquery()
_RECENT = _NUMBER_AND_VERSIONS.where(_agents.task_protocol_id == _protocol, _agents.task_version >= _since).subquery()
# One statement, which is consistent by itself. It has a row even if the protocol has no event and no payment.
_STORED = (
    select(*_RUNNING.c, *_RECENT.c, _counters.position, _events.created_at, *_LATEST_PAYMENTS.c)
    .select_from(_RUNNING)
    .join(_RECENT, true())
    .outerjoin(EventCounter.__table__, _counters.protocol_id == _protocol)
    .outerjoin(OutboxEvent.__table__, _is_newest)
    .outerjoin(_LATEST_PAYMENTS, _LATEST_PAYMENTS.c.protocol_id == _counters.protocol_id)
)
_EVENTS_SINCE = (
    select(_events.position, _events.created_at, _events.event_type, _events.data_json)
    .where(_events.protocol_id == _protocol, _events.position >= bindparam("position"))
    .order_by(_events.position)
    .limit(MAX_EVENTS)
)


class RoomRevision(NamedTuple):
    """What Redis knows: `seq` as text, and what moves with the agents of the room."""

    seq: str
    agents: tuple[Any, ...]


class StoredRevision(NamedTuple):
    """What the database knows."""

    events: tuple[Any, ...]
    payments: tuple[Any, ...]
    agents: tuple[Any, ...]


def of_room(protocol_id: str, at_us: float, *, batches: bool) -> RoomRevision | None:
    """None if Redis does not know the room, or cannot tell whether it forgot something. Raises redis.RedisError."""
    (seq, changes), clock, recent = read(
        rooms_redis(),
        ("HMGET", room_key(protocol_id, "state"), "batch_seq" if batches else "seq", "changes"),
        ("GET", partition_key(partition_of(protocol_id), "clock")),
        ("ZCOUNT", room_key(protocol_id, "last_seen"), at_us - RECENT_US, "+inf"),
    )
    memory = clock.split()[2:] if clock else []  # when it began, and the run id of its server
    if seq is None or not memory or memory[1] == b"-":
        return None
    return RoomRevision(str(int(seq)), (changes, *memory, recent))


def of_database(connection: Connection, protocol_id: str, at_us: float) -> StoredRevision:
    """By a single statement."""
    rows = connection.execute(_STORED, {"protocol": protocol_id, "since": int(at_us - RECENT_US)}).all()
    tasks, events = rows[0][:4], rows[0][4:6]
    return StoredRevision(tuple(events), tuple(tuple(row[6:]) for row in rows), tuple(tasks))


def changed_vulnerabilities(protocol_id: str, before: tuple[Any, ...], now: tuple[Any, ...]) -> set[str] | None:
    """The vulnerabilities that changed between two values of `events`; None if that is not known.

    Each change of one stores an event that names it.
    """
    if before[1] is None or now[0] is None or now[0] - before[0] >= MAX_EVENTS:
        return None
    rows = db.session.execute(_EVENTS_SINCE, {"protocol": protocol_id, "position": before[0]}).all()
    if not rows or tuple(rows[0][:2]) != before:
        return None
    others = [each.data_json for each in rows[1:] if each.event_type != EventType.AGENT_TASK_UPDATE]
    return {named for text in others if (named := _decode(text).get("vulnerabilityId"))}
