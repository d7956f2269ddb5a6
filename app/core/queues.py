"""Names of Celery queues and tasks, for enqueueing without importing tasks."""

REALTIME_QUEUE = "realtime"
PAYMENTS_QUEUE = "payments"
MAINTENANCE_QUEUE = "maintenance"
ALL_QUEUES = (REALTIME_QUEUE, MAINTENANCE_QUEUE, PAYMENTS_QUEUE)

FLUSH_TASK = "tasks.flush"
DRAIN_TASK = "tasks.drain"
OUTBOX_SWEEP_TASK = "tasks.outbox.sweep"
PAYMENT_SETTLE_TASK = "tasks.payments.settle"
PAYMENT_SWEEP_TASK = "tasks.payments.sweep"
RETENTION_TASK = "tasks.retention"

TASK_QUEUES = {
    FLUSH_TASK: REALTIME_QUEUE,
    DRAIN_TASK: REALTIME_QUEUE,
    OUTBOX_SWEEP_TASK: REALTIME_QUEUE,
    RETENTION_TASK: MAINTENANCE_QUEUE,
    PAYMENT_SETTLE_TASK: PAYMENTS_QUEUE,
    PAYMENT_SWEEP_TASK: PAYMENTS_QUEUE,
}
