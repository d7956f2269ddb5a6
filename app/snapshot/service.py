"""The snapshot of a protocol, which clients fetch after joining and after a gap (spec: reconnects), and the totals."""

import hashlib
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from cachetools import TTLCache
from flask import Flask, current_app
from sqlalchemy import bindparam, func, select, true

from app.agents import reported as agents
from app.auth.authorization import check_grant
from app.auth.tokens import Principal
from app.core.concurrency import SingleFlight
from app.core.database import consistent_read, utc_now
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
from app.realtime.outbox import EventCounter, OutboxEvent
from app.realtime.redis_keys import batched_view
from app.vulnerabilities import queries as vulnerabilities

_encode = msgspec.json.Encoder().encode
MAX_CACHED_BYTES, CACHED_SECONDS = 32 * 1024 * 1024, 60
_NEWEST_EVENT = (
    select(EventCounter.position, OutboxEvent.created_at)
    .join(
        OutboxEvent,
        (OutboxEvent.protocol_id == EventCounter.protocol_id) & (OutboxEvent.position == EventCounter.position),
    )
    .where(EventCounter.protocol_id == bindparam("protocol"))
)
_sections_lock = threading.Lock()
_renderings: SingleFlight[tuple[CompressibleBody, str]] = SingleFlight()


def init_app(app: Flask) -> None:
    app.extensions["snapshot_sections"] = TTLCache(MAX_CACHED_BYTES, CACHED_SECONDS, getsizeof=len)


def render(protocol_id: str, *, batches: bool) -> tuple[CompressibleBody, str]:
    """The snapshot as JSON, and its entity tag; concurrent callers share one rendering."""

    def render_now() -> tuple[CompressibleBody, str]:
        state = snapshot(protocol_id, batches=batches)
        text = _encode(state)
        untimed = text.replace(_encode(state["asOf"]), b"", 1)
        return CompressibleBody(text), hashlib.sha256(untimed).hexdigest()[:32]

    return _renderings.share(f"{batches} {protocol_id}", render_now)


def snapshot(protocol_id: str, *, batches: bool = False) -> dict[str, Any]:
    """Read `seq` first, then all sections as of one moment.

    So no event up to `seq` is missing, later ones may be included, and no section is ahead of another.
    `batches`: for connections that joined with `agentBatches`, whose events are numbered separately.
    Raises NotFound, redis.RedisError.
    """
    protocols.check_exists(protocol_id)
    seq = limiter.current_seq(batched_view(protocol_id) if batches else protocol_id)
    as_of = iso_timestamp(utc_now())
    with consistent_read():
        state = {"protocol": ProtocolSchema().dump(protocols.get(protocol_id)), "seq": seq, "asOf": as_of}
        state |= protocols.snapshot_section(protocol_id) | agents.snapshot_section(protocol_id)
        state["vulnerabilities"] = _vulnerabilities(protocol_id)
        return state | payments.snapshot_section(protocol_id)


def _vulnerabilities(protocol_id: str) -> msgspec.Raw:
    """The section as JSON: a third of a snapshot's time, and made again only after an event of the protocol.

    No vulnerability changes without one. The time of an event tells two of the same position apart, of which a restored
    database has lost one. Before the first event, and when that is so old that it has been deleted, nothing is cached.
    """
    sections: TTLCache[tuple[Any, ...], msgspec.Raw] = current_app.extensions["snapshot_sections"]
    key = (protocol_id, *db.session.execute(_NEWEST_EVENT, {"protocol": protocol_id}).tuples().all())
    with _sections_lock:
        found = sections.get(key)
    if found is None:
        found = msgspec.Raw(_encode(vulnerabilities.snapshot_section(protocol_id)))
        if len(key) > 1:
            with _sections_lock:
                sections[key] = found
    return found


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
