"""Whether pools and ledgers agree: read when `/metrics` is asked for."""

from sqlalchemy import and_, func, or_, select

from app.bounties.models import LedgerEntry, Pool
from app.core.extensions import db
from app.observability.collectors import Reading
from app.protocols.models import Protocol


def read_ledger() -> list[Reading]:
    """Compare each pool with its newest entry: one look-up a pool. `dashboard doctor` adds up all of them.

    Raises SQLAlchemyError.
    """
    newest = and_(LedgerEntry.protocol_id == Pool.protocol_id, LedgerEntry.version == Pool.version)
    differs = or_(
        LedgerEntry.id.is_(None),
        LedgerEntry.total_minor != Pool.total_minor,
        LedgerEntry.reserved_minor != Pool.reserved_minor,
        LedgerEntry.paid_minor != Pool.paid_minor,
    )
    broken = select(func.count()).select_from(Pool).outerjoin(LedgerEntry, newest).where(Pool.version > 0, differs)
    poolless = select(func.count()).select_from(Protocol).outerjoin(Pool).where(Pool.protocol_id.is_(None))
    count = float(sum(db.session.execute(each).scalar_one() for each in (broken, poolless)))
    return [Reading("dashboard_ledger_mismatches", "Pools that disagree with their ledger, or are gone", {"": count})]
