"""The schedule of beat: tasks and their intervals in seconds."""

from app.core import queues

FLUSH_SECONDS = 1.0
SWEEP_SECONDS = 5.0
PAYMENT_SWEEP_SECONDS = 1.0
RETENTION_SECONDS = 600.0


def _every(task: str, seconds: float) -> dict[str, object]:
    return {"task": task, "schedule": seconds}


SCHEDULE = {
    "flush": _every(queues.FLUSH_TASK, FLUSH_SECONDS),
    "outbox-sweep": _every(queues.OUTBOX_SWEEP_TASK, SWEEP_SECONDS),
    "payment-sweep": _every(queues.PAYMENT_SWEEP_TASK, PAYMENT_SWEEP_SECONDS),
    "retention": _every(queues.RETENTION_TASK, RETENTION_SECONDS),
}
