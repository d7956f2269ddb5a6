"""Proof that the books are right: the ledger of every pool, added up from its first entry, gives the pool."""

from sqlalchemy import select

from app.bounties.ledger import ChangeType, PoolRuleBroken, Totals
from app.bounties.models import LedgerEntry, Pool
from app.extensions import db


def mismatches() -> list[tuple[str, str]]:
    """What is wrong, as (protocol id, sentence); empty when all ledgers agree with their pools."""
    found = []
    pools = select(Pool).order_by(Pool.protocol_id).execution_options(populate_existing=True)
    for pool in db.session.scalars(pools).all():
        fault = _fault_of(pool)
        if fault:
            found.append((pool.protocol_id, fault))
    db.session.rollback()
    return found


def _fault_of(pool: Pool) -> str | None:
    """Entries newer than the pool as it was read are left out, so that a pool in use can be audited."""
    entries = (
        select(LedgerEntry)
        .where(LedgerEntry.protocol_id == pool.protocol_id, LedgerEntry.version <= pool.version)
        .order_by(LedgerEntry.version)
        .execution_options(yield_per=1000)
    )
    totals, version = Totals(), 0
    for entry in db.session.scalars(entries):
        version += 1
        if entry.version != version:
            return f"the entry of version {version} is missing"
        try:
            totals = totals.after(ChangeType(entry.change_type), entry.amount_minor)
        except PoolRuleBroken as error:
            return f"entry {entry.id} breaks the rules: {error}"
        if totals != Totals(entry.total_minor, entry.reserved_minor, entry.paid_minor):
            return f"entry {entry.id} tells of other totals than the entries before it give: {totals}"
    if version != pool.version or totals != Totals(pool.total_minor, pool.reserved_minor, pool.paid_minor):
        return f"the ledger gives {totals} at version {version}, the pool says otherwise"
    return None
