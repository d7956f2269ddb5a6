"""The overview of many protocols, those that need attention first: failed payments, then open critical vulnerabilities,
then pending ones, then confirmed ones that are not paid; where all are equal, by id.

The order is made of three grouped counts, from partial indexes of what is open. All else is read for one page alone.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import redis
from sqlalchemy import ColumnElement, func, select, true

from app.agents import reported as agents
from app.auth.tokens import ALL_PROTOCOLS, Principal
from app.core.concurrency import SingleFlight
from app.core.database import consistent_read
from app.core.extensions import db, redis_health
from app.core.pagination import Page, cursor_keys, page_of
from app.http.responses import CompressibleBody
from app.payments.models import IS_UNPAID, Payment
from app.payments.rules import PaymentStatus
from app.protocols.models import Pool, Protocol
from app.realtime.agent_records import read
from app.realtime.emitter import rooms_redis
from app.realtime.redis_keys import partition_key, partition_of, room_key
from app.snapshot.schemas import OverviewPage
from app.vulnerabilities.models import IS_OPEN, Severity, Status, Vulnerability

COMMANDS_PER_ROOM = 5

_encode = msgspec.json.Encoder().encode
_renderings: SingleFlight[tuple[CompressibleBody, str]] = SingleFlight()


@dataclass(frozen=True)
class Need:
    """What of a protocol needs attention; also its place in the order."""

    protocol_id: str
    failed: int = 0
    unsettled: int = 0
    critical: int = 0
    pending: int = 0
    confirmed: int = 0

    def keys(self) -> list[Any]:
        return [self.failed, self.critical, self.pending, self.confirmed, self.protocol_id]


def render(principal: Principal, limit: int, cursor: list[Any] | None) -> tuple[CompressibleBody, str]:
    """A page as JSON, and its entity tag; concurrent readers with the same grants share one rendering.

    Raises InvalidInput, redis.RedisError.
    """
    after = cursor_keys(cursor, int, int, int, int, str)
    granted = None if principal.grants_all else sorted(principal.protocols - {ALL_PROTOCOLS})

    def render_now() -> tuple[CompressibleBody, str]:
        text = _encode(OverviewPage().dump(_read(granted, limit, after)))
        return CompressibleBody(text), hashlib.sha256(text).hexdigest()[:32]

    return _renderings.share(json.dumps([granted, limit, after]), render_now)


def _read(granted: list[str] | None, limit: int, after: list[Any] | None) -> Page:
    """Order first, then the rooms' `seq`, then all else as of one moment: nothing up to `seq` is missing from it."""
    with consistent_read():
        needs = sorted(_needs(granted).values(), key=_place)
    if after:
        place = (*(-each for each in after[:-1]), after[-1])
        needs = [each for each in needs if _place(each) > place]
    page = page_of(needs[: limit + 1], limit, Need.keys)
    shown = [each.protocol_id for each in page.items]
    rooms = _rooms(shown)
    with consistent_read() as session:
        query = select(Protocol.id, Protocol.name, Pool).join(Pool, Pool.protocol_id == Protocol.id)
        rows = {row.id: row for row in session.execute(query.where(Protocol.id.in_(shown)))}
        now = _needs(shown)
    items = [_item(now[each], rows[each]) | rooms[each] for each in shown if each in rows]
    return Page(items, page.next_cursor)


def _place(need: Need) -> tuple[Any, ...]:
    return (-need.failed, -need.critical, -need.pending, -need.confirmed, need.protocol_id)


def _needs(protocol_ids: list[str] | None) -> dict[str, Need]:
    """The needs of these protocols, or of all, by id; without those that do not exist."""

    def among(column: Any) -> ColumnElement[bool]:
        return true() if protocol_ids is None else column.in_(protocol_ids)

    def count(condition: ColumnElement[bool], name: str) -> Any:
        return func.count().filter(condition).label(name)

    found: dict[str, dict[str, Any]] = {
        each: {"protocol_id": each} for each in db.session.scalars(select(Protocol.id).where(among(Protocol.id)))
    }
    is_pending, is_confirmed = (Vulnerability.status == each.value for each in (Status.PENDING, Status.CONFIRMED))
    is_failed = Payment.status == PaymentStatus.FAILED.value
    vulnerabilities = select(
        Vulnerability.protocol_id,
        count(is_pending, "pending"),
        count(is_confirmed, "confirmed"),
        count(Vulnerability.severity == Severity.CRITICAL.value, "critical"),
    ).where(IS_OPEN, among(Vulnerability.protocol_id))
    payments = select(Payment.protocol_id, count(is_failed, "failed"), count(~is_failed, "unsettled")).where(
        IS_UNPAID, among(Payment.protocol_id)
    )
    for query, column in ((vulnerabilities, Vulnerability.protocol_id), (payments, Payment.protocol_id)):
        for row in db.session.execute(query.group_by(column)).mappings():
            if row["protocol_id"] in found:
                found[row["protocol_id"]] |= row
    return {protocol_id: Need(**values) for protocol_id, values in found.items()}


def _rooms(protocol_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Of each room the number and time of its last event, and its agents. Raises redis.RedisError."""
    if not redis_health().is_available():  # known within a second; the retries of a hanging Redis take five
        raise redis.ConnectionError("Redis does not answer")
    since, commands = agents.now_us() - agents.ONLINE_SECONDS * 1e6, []
    for each in protocol_ids:
        commands += [
            ("HGET", room_key(each, "state"), "seq"),
            ("LINDEX", room_key(each, "window"), 0),
            ("GET", partition_key(partition_of(each), "clock")),
            ("ZCOUNT", room_key(each, "last_seen"), since, "+inf"),
            ("ZCOUNT", room_key(each, "busy"), since, "+inf"),
        ]
    answers, rooms = iter(read(rooms_redis(), *commands)), {}
    for protocol_id in protocol_ids:
        seq, last_us, clock, online, busy = (next(answers) for _ in range(COMMANDS_PER_ROOM))
        offset = int(clock.split()[1]) if clock else 0
        rooms[protocol_id] = {
            "seq": int(seq or 0),
            "last_event_at": None if last_us is None else datetime.fromtimestamp((int(last_us) - offset) / 1e6, UTC),
            "agents": {"online": online, "busy": busy},
        }
    return rooms


def _item(need: Need, row: Any) -> dict[str, Any]:
    return {
        "protocol_id": row.id,
        "name": row.name,
        "pool": row.Pool,
        "vulnerabilities": {"pending": need.pending, "confirmed": need.confirmed, "critical_open": need.critical},
        "payments": {"pending": need.unsettled, "failed": need.failed},
    }
