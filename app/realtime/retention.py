"""What the outbox forgets: events that reached their room a week ago. Ledger and audit log forget nothing."""

from datetime import timedelta

from app.core.database import database_now, delete_in_batches
from app.realtime.outbox import OutboxEvent

KEPT = timedelta(days=7)


def delete_old_events(deadline: float) -> int:
    """Returns how many rows are gone."""
    return delete_in_batches(OutboxEvent, OutboxEvent.published_at < database_now(-KEPT.total_seconds()), deadline)
