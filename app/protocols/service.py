"""Protocols and their bounty pools.

Protocols are created and read, never deleted, so that their existence can be cached. Each change of a pool is one
conditional UPDATE, one ledger entry and one event, in one transaction.
"""

import logging
from datetime import datetime
from typing import Any, cast

import redis
import uuid_utils.compat as uuid
from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit.service import AuditAction, record_audit
from app.auth.authorization import unknown_protocol
from app.auth.tokens import Principal
from app.core.database import transaction, utc_now
from app.core.errors import AlreadyExists, AmountTooLarge, InsufficientFunds
from app.core.extensions import db, known_ids
from app.core.final_writes import Write, write_before_commit
from app.core.pagination import Page, made_between, page_by_key
from app.core.sql_types import MinorUnits
from app.core.values import MAX_AMOUNT, format_amount
from app.http.idempotency import claim_key, store_response
from app.protocols.models import LedgerEntry, Pool, Protocol
from app.protocols.rules import EFFECTS, ChangeType
from app.protocols.schemas import BountyPoolData, PoolSchema
from app.realtime import limiter, outbox
from app.realtime.events import EventType
from app.realtime.outbox import EventCounter

logger = logging.getLogger(__name__)

_EVENT_DATA, _POOL = BountyPoolData(), PoolSchema()
# Every change of money runs these statements; on tables they take a quarter of the time of ORM statements.
_pools = cast(Table, Pool.__table__)
_total = _pools.c.total_minor + bindparam("total", type_=MinorUnits)
_reserved = _pools.c.reserved_minor + bindparam("reserved", type_=MinorUnits)
_paid = _pools.c.paid_minor + bindparam("paid", type_=MinorUnits)
_CHANGE_TOTALS = (
    update(_pools)
    .where(_pools.c.protocol_id == bindparam("protocol"))
    .where(_total <= MAX_AMOUNT, _reserved >= 0, _total - _reserved - _paid >= 0)
    .values(total_minor=_total, reserved_minor=_reserved, paid_minor=_paid, version=_pools.c.version + 1)
    .returning(_pools)
)
_entries = cast(Table, LedgerEntry.__table__)
_ABOUT_NOTHING: dict[str, str | None] = dict.fromkeys(("vulnerability_id", "payment_id", "reference"))


def create(fields: dict[str, Any]) -> Protocol:
    """Store a new protocol with an empty pool, and open its room. Raises AlreadyExists."""
    name, currency = fields["name"], fields["currency"]
    protocol = Protocol(id=fields["id"] or str(uuid.uuid7()), name=name, currency=currency, created_at=utc_now())
    zeros = {"total_minor": 0, "reserved_minor": 0, "paid_minor": 0, "version": 0}
    try:
        with transaction() as session:
            session.add(protocol)
            session.flush()
            session.add(EventCounter(protocol_id=protocol.id, position=0))
            session.add(Pool(protocol_id=protocol.id, currency=currency, **zeros))
    except IntegrityError as error:
        raise AlreadyExists(f"There is a protocol {protocol.id!r} already.") from error
    try:
        limiter.open_room(protocol.id)
    except redis.RedisError as error:
        logger.warning("room.opening_failed", extra={"protocolId": protocol.id, "error": str(error)})
    return protocol


def get(protocol_id: str) -> Protocol:
    """Raises NotFound."""
    protocol = db.session.get(Protocol, protocol_id)
    if protocol is None:
        raise unknown_protocol(protocol_id)
    return protocol


def check_exists(protocol_id: str) -> None:
    """Raises NotFound; reads the database once per protocol and process."""
    if protocol_id not in known_ids("protocol"):
        get(protocol_id)
        known_ids("protocol")[protocol_id] = True


def list_for(principal: Principal, limit: int, cursor: list[Any] | None) -> Page:
    """The protocols that the token grants, by id."""
    query = select(Protocol)
    if not principal.grants_all:
        query = query.where(Protocol.id.in_(principal.protocols))
    return page_by_key(query, Protocol.id, limit, cursor, is_ascending=True)


def get_pool(protocol_id: str) -> Pool:
    """Raises NotFound."""
    pool = db.session.get(Pool, protocol_id, populate_existing=True)
    if pool is None:
        raise unknown_protocol(protocol_id)
    return pool


def snapshot_section(protocol_id: str) -> dict[str, Any]:
    return {"pool": _POOL.dump(get_pool(protocol_id))}


def list_entries(
    protocol_id: str,
    *,
    limit: int,
    cursor: list[Any] | None,
    change_type: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Page:
    """The ledger, newest first; only changes of the type and in the period. Raises NotFound."""
    get_pool(protocol_id)
    query = select(LedgerEntry).where(LedgerEntry.protocol_id == protocol_id)
    if change_type is not None:
        query = query.where(LedgerEntry.change_type == change_type)
    return page_by_key(made_between(query, LedgerEntry.created_at, since, until), LedgerEntry.version, limit, cursor)


def deposit(protocol_id: str, amount_minor: int, reference: str | None, actor: str) -> dict[str, Any]:
    """Add funds; returns `{entry, pool}`. Raises NotFound, Conflict (AMOUNT_TOO_LARGE)."""
    with transaction() as session:
        claim_key(session)
        entry, pool = apply_change(session, protocol_id, ChangeType.DEPOSIT, amount_minor, actor, reference=reference)
        total, version = pool["total_minor"], pool["version"]
        before = {"total": format_amount(total - amount_minor), "version": version - 1}
        changed = {"total": format_amount(total), "version": version}
        after = changed | {"amount": format_amount(amount_minor), "reference": reference}
        record_audit(session, AuditAction.DEPOSIT, entry["id"], protocol_id=protocol_id, before=before, after=after)
        result = {"entry": entry, "pool": pool}
        store_response(session, result)
    outbox.relay(protocol_id)
    return result


def apply_change(
    session: Session, protocol_id: str, change_type: ChangeType, amount_minor: int, actor: str, **about: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Change the pool in the caller's transaction and add the ledger entry and the event.

    The rules are the UPDATE's condition, so that no other change comes between check and change.
    `about`: the entry's `vulnerability_id`, `payment_id` and `reference`. Returns the values of entry and pool.
    Raises Conflict (INSUFFICIENT_FUNDS, AMOUNT_TOO_LARGE), NotFound.
    """
    deltas = {name: factor * amount_minor for name, factor in vars(EFFECTS[change_type]).items()}
    row = session.execute(_CHANGE_TOTALS, {"protocol": protocol_id, **deltas}).mappings().one_or_none()
    if row is None:
        raise _refusal(session, protocol_id, change_type, amount_minor)
    pool = dict(row)
    stored = {name: value for name, value in pool.items() if name != "currency"} | {
        "id": str(uuid.uuid7()),
        "change_type": change_type.value,
        "amount_minor": amount_minor,
        "actor": actor,
        "created_at": utc_now(),
        **_ABOUT_NOTHING,
        **about,
    }
    write_before_commit(session, Write(_entries, [stored]))
    pool["available_minor"] = pool["total_minor"] - pool["reserved_minor"] - pool["paid_minor"]
    entry = pool | stored
    given = {name: value for name, value in _EVENT_DATA.dump(entry).items() if value is not None}
    outbox.append(session, protocol_id, EventType.BOUNTY_POOL_UPDATED, given)
    return entry, pool


def _refusal(session: Session, protocol_id: str, change_type: ChangeType, amount_minor: int) -> Exception:
    pool = session.get(Pool, protocol_id, populate_existing=True)
    if pool is None:
        return unknown_protocol(protocol_id)
    amount, available = format_amount(amount_minor), format_amount(pool.available_minor)
    if change_type is ChangeType.DEPOSIT:
        return AmountTooLarge(f"With {amount} more the pool would exceed {format_amount(MAX_AMOUNT)}.")
    if change_type is ChangeType.RESERVATION:
        return InsufficientFunds(f"{amount} cannot be reserved: {available} {pool.currency} available.")
    return RuntimeError(f"{change_type} of {amount} does not fit the reservations of {protocol_id!r}")
