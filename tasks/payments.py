"""Tasks of payments: settlement, and the sweep of those that a lost message or a dead worker left behind."""

from app.core.extensions import celery
from app.core.queues import PAYMENT_SETTLE_TASK, PAYMENT_SWEEP_TASK
from app.payments import settlement


@celery.task(name=PAYMENT_SETTLE_TASK)
def settle(payment_id: str) -> None:
    settlement.settle(payment_id)


@celery.task(name=PAYMENT_SWEEP_TASK)
def sweep() -> None:
    settlement.sweep()
