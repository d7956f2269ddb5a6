"""Proof that the books are right: the ledger of every pool, added up from its first entry, gives the pool."""

from sqlalchemy import select

from app.bounties.models import LedgerEntry, Pool
from app.bounties.rules import ChangeType, PoolRuleBroken, Totals
from app.core.extensions import db

Mismatch = tuple[str, str]
"""Whose books are wrong, as (protocol id, sentence)."""


def mismatches() -> list[Mismatch]:
    """What is wrong; empty when all ledgers agree with their pools. Call it within `consistent_read()`."""
    found: list[Mismatch] = []
    for pool in db.session.scalars(select(Pool).order_by(Pool.protocol_id)).all():
        fault = _fault_of(pool)
        if fault:
            found.append((pool.protocol_id, fault))
    return found


def _fault_of(pool: Pool) -> str | None:
    query = select(LedgerEntry).where(LedgerEntry.protocol_id == pool.protocol_id).order_by(LedgerEntry.version)
    totals, version = Totals(), 0
    for entry in db.session.scalars(query.execution_options(yield_per=1000)):
        version += 1
        if entry.version != version:
            return f"the entry of version {version} is missing"
        try:
            totals = totals.after(ChangeType(entry.change_type), entry.amount_minor)
        except (PoolRuleBroken, ValueError) as error:  # the latter: a kind of entry that does not exist
            return f"entry {entry.id} breaks the rules: {error}"
        if totals != Totals(entry.total_minor, entry.reserved_minor, entry.paid_minor):
            return f"entry {entry.id} tells of other totals than the entries before it give: {totals}"
    if version != pool.version or totals != Totals(pool.total_minor, pool.reserved_minor, pool.paid_minor):
        return f"the ledger gives {totals} at version {version}, the pool says otherwise"
    return None
