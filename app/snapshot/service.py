"""The snapshot of a protocol, which clients fetch after joining and after a gap (spec: reconnects), and the totals."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, NamedTuple, cast

import msgspec
from cachetools import TTLCache
from flask import Flask, current_app
from sqlalchemy import func, select, true

from app.agents import reported as agents
from app.auth.authorization import check_grant
from app.auth.tokens import Principal
from app.core.concurrency import SharedCache, SingleFlight
from app.core.database import consistent_read, single_read, utc_now
from app.core.extensions import db
from app.core.values import iso_timestamp
from app.http.responses import CompressibleBody
from app.payments import service as payments
from app.payments.models import Payment
from app.payments.rules import PaymentStatus
from app.protocols import service as protocols
from app.protocols.models import Pool
from app.protocols.schemas import ProtocolSchema
from app.realtime import limiter
from app.realtime.redis_keys import batched_view
from app.snapshot import revision
from app.snapshot.revision import RoomRevision, StoredRevision
from app.vulnerabilities import queries as vulnerabilities

_encode = msgspec.json.Encoder().encode
_PROTOCOL = ProtocolSchema()
MAX_CACHED_BYTES, CACHED_SECONDS, ENTRY_BYTES = 32 * 1024 * 1024, 60, 1024
ITEM_BYTES = 256  # of an item beside its JSON
Revision = tuple[RoomRevision, StoredRevision]
_renderings: SingleFlight[tuple[CompressibleBody, str]] = SingleFlight()
_checks: SingleFlight[str | None] = SingleFlight()


class _Cached(NamedTuple):
    """A part of a snapshot, or its entity tag, and the revision to which it belongs."""

    revision: Any
    value: Any
    size: int


def init_app(app: Flask) -> None:
    parts: TTLCache[Any, _Cached] = TTLCache(MAX_CACHED_BYTES, CACHED_SECONDS, getsizeof=attrgetter("size"))
    app.extensions["snapshots"] = SharedCache(parts)


def known_tag(protocol_id: str, *, batches: bool) -> str | None:
    """The entity tag of the present snapshot, without making it; None if this process does not know it.

    Concurrent callers share one answer. Raises redis.RedisError.
    """
    if _cached("tag", protocol_id, batches) is None:
        return None
    return _checks.share(f"{batches} {protocol_id}", lambda: _check_tag(protocol_id, batches=batches))


def _check_tag(protocol_id: str, *, batches: bool) -> str | None:
    at_us, found = agents.now_us(), _cached("tag", protocol_id, batches)
    room = revision.of_room(protocol_id, at_us, batches=batches)
    if found is None or room is None or room != found.revision[0]:
        return None
    with single_read() as connection:
        stored = revision.of_database(connection, protocol_id, at_us)
    tag, lifetime = found.value
    return tag if stored == found.revision[1] and lifetime.holds(at_us) else None


def render(protocol_id: str, *, batches: bool) -> tuple[CompressibleBody, str]:
    """The snapshot as JSON, and its entity tag; concurrent callers share one rendering."""

    def render_now() -> tuple[CompressibleBody, str]:
        present, lifetime, state = _read(protocol_id, batches=batches)
        text = _encode(state)
        as_of = _encode(state["asOf"])
        at = text.index(as_of)
        untimed = hashlib.sha256(text[:at])
        untimed.update(memoryview(text)[at + len(as_of) :])
        tag = untimed.hexdigest()[:32]
        if present is not None:
            size = ENTRY_BYTES * (1 + len(lifetime.located))
            _cache("tag", protocol_id, batches, made=_Cached(present, (tag, lifetime), size))
        return CompressibleBody(text), tag

    return _renderings.share(f"{batches} {protocol_id}", render_now)


def _read(protocol_id: str, *, batches: bool) -> tuple[Revision | None, agents.Lifetime, dict[str, Any]]:
    """The snapshot, with its revision, if that is known, and lifetime. Raises NotFound, redis.RedisError.

    `seq` is read first, then all sections as of one moment. So no event up to `seq` is missing, later ones may be
    included, and no section is ahead of another. `batches`: for connections that joined with `agentBatches`, whose
    events are numbered separately.
    """
    protocols.check_exists(protocol_id)
    at_us, as_of = agents.now_us(), iso_timestamp(utc_now())
    room = revision.of_room(protocol_id, at_us, batches=batches)
    seq = room.seq if room else limiter.current_seq(batched_view(protocol_id) if batches else protocol_id)
    with consistent_read() as session:
        stored = revision.of_database(session.connection(), protocol_id, at_us)
        section = _agents(protocol_id, room and (room.agents, stored.agents), at_us)
        state = {"protocol": _PROTOCOL.dump(protocols.get(protocol_id)), "seq": seq, "asOf": as_of}
        state |= protocols.snapshot_section(protocol_id)
        state |= {"agents": section.agents, "agentsTruncated": section.is_truncated}
        state["vulnerabilities"] = _vulnerabilities(protocol_id, stored.events).text
        state |= payments.snapshot_section(protocol_id)
    return room and (room, stored), section.lifetime, state


def _agents(protocol_id: str, present: tuple[Any, ...] | None, at_us: float) -> agents.AgentsSection:
    """Half of a snapshot's time, so made again only after a change. `present`: their revision, None if not known."""
    found = _cached("agents", protocol_id)
    if found is not None and found.revision == present and found.value.lifetime.holds(at_us):
        return cast(agents.AgentsSection, found.value)
    made = agents.snapshot_section(protocol_id, at_us)
    if present is not None:
        _cache("agents", protocol_id, made=_Cached(present, made, ENTRY_BYTES + len(memoryview(made.agents))))
    return made


def _vulnerabilities(protocol_id: str, events: tuple[Any, ...]) -> vulnerabilities.OpenSection:
    """A third of its time, so after an event only those are read again that the event names."""
    found = _cached("vulnerabilities", protocol_id)
    if found is not None and found.revision == events:
        return cast(vulnerabilities.OpenSection, found.value)
    changed = found and revision.changed_vulnerabilities(protocol_id, found.revision, events)
    if found is None or changed is None:
        made = vulnerabilities.snapshot_section(protocol_id)
    elif changed:
        made = vulnerabilities.snapshot_section(protocol_id, found.value, changed)
    else:
        made = found.value
    size = ENTRY_BYTES + 2 * len(memoryview(made.text)) + ITEM_BYTES * len(made.items)
    _cache("vulnerabilities", protocol_id, made=_Cached(events, made, size))
    return made


def _cached(*key: Any) -> _Cached | None:
    return cast("SharedCache[Any, _Cached]", current_app.extensions["snapshots"]).get(key)


def _cache(*key: Any, made: _Cached) -> None:
    with suppress(ValueError):  # it is larger than the whole cache
        current_app.extensions["snapshots"][key] = made


def totals(protocol_id: str | None, principal: Principal) -> dict[str, Any]:
    """Totals of one protocol, or of all that the token grants (contract: /stats). Raises NotFound, redis.RedisError.

    Amounts of different currencies are never added up. Over several protocols `bountyPool` and `payments.total` are in
    the currency that most of them use (named in `bountyPool.currency`); `bountyPool.byCurrency` has one item for each.
    """
    if protocol_id is not None:
        check_grant(principal, protocol_id)
        pools: Sequence[Pool] = [protocols.get_pool(protocol_id)]
        protocol_ids: list[str] | None = [protocol_id]
        identity = {"protocol_id": protocol_id, "version": pools[0].version}
    else:
        protocol_ids = None if principal.grants_all else sorted(principal.protocols)
        is_granted = true() if protocol_ids is None else Pool.protocol_id.in_(protocol_ids)
        pools = db.session.scalars(select(Pool).where(is_granted).execution_options(populate_existing=True)).all()
        identity = {"protocol_id": None, "version": None}
    pool_sum = _sum_pools(pools)
    return {
        "bounty_pool": pool_sum | identity,
        "vulnerabilities": vulnerabilities.counts(protocol_ids),
        "payments": {"total": pool_sum["paid_minor"], **_released(protocol_ids)},
        "agents": agents.counts(protocol_id, protocol_ids),
    }


def _sum_pools(pools: Sequence[Pool]) -> dict[str, Any]:
    """Sums by currency, and those of the most used one; added up in Python because SQLite's SUM overflows at 2⁶³."""
    uses = Counter(pool.currency for pool in pools)
    sums = [_sum_of(currency, [pool for pool in pools if pool.currency == currency]) for currency in sorted(uses)]
    most_used = max(sums, key=lambda each: uses[each["currency"]], default=_sum_of(None, []))
    return most_used | {"by_currency": sums}


def _sum_of(currency: str | None, pools: Sequence[Pool]) -> dict[str, Any]:
    names = ("total_minor", "available_minor", "reserved_minor", "paid_minor")
    return {"currency": currency} | {name: sum(getattr(pool, name) for pool in pools) for name in names}


def _released(protocol_ids: list[str] | None) -> dict[str, Any]:
    is_granted = true() if protocol_ids is None else Payment.protocol_id.in_(protocol_ids)
    query = select(Payment).where(Payment.status == PaymentStatus.RELEASED.value, is_granted)
    return {
        "count": db.session.scalar(query.with_only_columns(func.count())),
        "last_payment": db.session.scalar(query.order_by(Payment.released_at.desc(), Payment.id.desc()).limit(1)),
    }
