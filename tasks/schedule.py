"""What beat does and when. Each tick expires before the next: a late one is not made up for."""

from app import queues

FLUSH_SECONDS = 1.0
SWEEP_SECONDS = 5.0
PAYMENT_SWEEP_SECONDS = 3.0
RETENTION_SECONDS = 600.0


def _every(task: str, seconds: float) -> dict[str, object]:
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds * 2, 2.0)}}


SCHEDULE = {
    "flush": _every(queues.FLUSH_TASK, FLUSH_SECONDS),
    "outbox-sweep": _every(queues.OUTBOX_SWEEP_TASK, SWEEP_SECONDS),
    "payment-sweep": _every(queues.PAYMENT_SWEEP_TASK, PAYMENT_SWEEP_SECONDS),
    "retention": _every(queues.RETENTION_TASK, RETENTION_SECONDS),
}
