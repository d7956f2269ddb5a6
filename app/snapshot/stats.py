"""Totals of one protocol, or of all that the token grants.

Amounts of different currencies are never added up. Over several protocols `bountyPool` and `payments.total` are in
the currency that most of them use (named in `bountyPool.currency`); `bountyPool.byCurrency` has one item for each.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from app.agents import agent_snapshot as agents
from app.auth.authorization import check_grant
from app.auth.tokens import Principal
from app.core.extensions import db
from app.payments.models import Payment
from app.payments.rules import PaymentStatus
from app.protocols.models import Pool
from app.protocols.service import get_pool
from app.vulnerabilities import queries as vulnerabilities


def totals(protocol_id: str | None, principal: Principal) -> dict[str, Any]:
    """The contract's statistics. Raises NotFound, redis.RedisError."""
    if protocol_id is not None:
        check_grant(principal, protocol_id)
        pools: Sequence[Pool] = [get_pool(protocol_id)]
        protocol_ids: list[str] | None = [protocol_id]
    else:
        protocol_ids = None if principal.sees_all else sorted(principal.protocols)
        pools = _pools(protocol_ids)
    pool_sum = _sum_pools(pools) | (_identity(pools[0]) if protocol_id is not None else {})
    return {
        "bounty_pool": pool_sum,
        "vulnerabilities": vulnerabilities.counts(protocol_ids),
        "payments": {"total": pool_sum["paid_minor"], **_released(protocol_ids)},
        "agents": agents.counts(protocol_id, protocol_ids),
    }


def _pools(protocol_ids: list[str] | None) -> Sequence[Pool]:
    query = select(Pool).execution_options(populate_existing=True)
    return db.session.scalars(query if protocol_ids is None else query.where(Pool.protocol_id.in_(protocol_ids))).all()


def _identity(pool: Pool) -> dict[str, Any]:
    return {"protocol_id": pool.protocol_id, "version": pool.version}


def _sum_pools(pools: Sequence[Pool]) -> dict[str, Any]:
    """Sums by currency, and those of the most used one; added up in Python because SQLite's SUM overflows at 2⁶³."""
    uses = Counter(pool.currency for pool in pools)
    sums = [_sum_of(currency, [pool for pool in pools if pool.currency == currency]) for currency in sorted(uses)]
    most_used = max(sums, key=lambda each: uses[each["currency"]], default=_sum_of(None, []))
    return {"protocol_id": None, "version": None, **most_used, "by_currency": sums}


def _sum_of(currency: str | None, pools: Sequence[Pool]) -> dict[str, Any]:
    names = ("total_minor", "available_minor", "reserved_minor", "paid_minor")
    return {"currency": currency} | {name: sum(getattr(pool, name) for pool in pools) for name in names}


def _released(protocol_ids: list[str] | None) -> dict[str, Any]:
    is_released = [Payment.status == PaymentStatus.RELEASED.value]
    if protocol_ids is not None:
        is_released.append(Payment.protocol_id.in_(protocol_ids))
    newest = select(Payment).where(*is_released).order_by(Payment.released_at.desc(), Payment.id.desc()).limit(1)
    return {
        "count": db.session.scalar(select(func.count()).select_from(Payment).where(*is_released)) or 0,
        "last_payment": db.session.scalar(newest),
    }
