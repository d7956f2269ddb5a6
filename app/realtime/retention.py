"""What the outbox forgets: events that reached their room a week ago. Ledger and audit log forget nothing."""

from datetime import timedelta

from sqlalchemy import delete, select

from app.database import database_now, transaction
from app.realtime.outbox import OutboxEvent

KEPT = timedelta(days=7)
BATCH = 1000
MAX_BATCHES = 100


def delete_old_events() -> int:
    """Delete in short transactions, so that nobody waits for them; returns how many rows are gone."""
    before, deleted = database_now(-KEPT.total_seconds()), 0
    for _ in range(MAX_BATCHES):
        old = select(OutboxEvent.id).where(OutboxEvent.published_at < before).limit(BATCH)
        with transaction() as session:
            result = session.execute(delete(OutboxEvent).where(OutboxEvent.id.in_(old)))
        batch = int(result.rowcount)  # type: ignore[attr-defined]
        deleted += batch
        if batch < BATCH:
            break
    return deleted
