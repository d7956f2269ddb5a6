"""The metrics that processes count. Gauges that are read at each scrape are in the features' `collectors` modules.

With several processes on a machine they are gathered through PROMETHEUS_MULTIPROC_DIR. A series is kept forever, so
each label's values come from a closed set, never from a caller's input.
"""

from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import event
from sqlalchemy.pool import Pool

from app.observability import metric_files

metric_files.install()

OTHER = "other"
HTTP_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 10.0, 30.0)

EVENTS_EMITTED = Counter("dashboard_events_emitted_total", "Events published to their room", ["event"])
EVENTS_DROPPED = Counter("dashboard_events_dropped_total", "Events dropped from a full room queue", ["event"])
EVENTS_UNDELIVERED = Counter("dashboard_events_undelivered_total", "Events missed by absent subscribers", ["event"])
EMISSION_FAILURES = Counter("dashboard_emission_failures_total", "Events that Redis did not accept", ["event"])
ENQUEUE_FAILURES = Counter("dashboard_enqueue_failures_total", "Celery tasks that could not be enqueued", ["task"])
PROGRESS_ACCEPTED = Counter("dashboard_progress_accepted_total", "Progress reports accepted", ["status"])
PROGRESS_LATENCY = Histogram(
    "dashboard_progress_latency_seconds", "From the acceptance of a report to its emission", buckets=SECONDS
)
PAYMENTS = Counter("dashboard_payments_total", "Attempts to settle a payment, by outcome", ["outcome"])
SOCKETS = Gauge("dashboard_sockets", "Open Socket.IO connections", multiprocess_mode="livesum")
HTTP_REQUESTS = Counter("dashboard_http_requests_total", "REST requests", ["method", "route", "status"])
HTTP_SECONDS = Histogram("dashboard_http_request_seconds", "Time to the response", ["route"], buckets=SECONDS)
CELERY_TASKS = Counter("dashboard_celery_tasks_total", "Finished tasks", ["task", "state"])
CELERY_SECONDS = Histogram("dashboard_celery_task_seconds", "Run time of a task", ["task"], buckets=SECONDS)
CELERY_WAIT = Histogram(
    "dashboard_celery_wait_seconds", "From when a task was sent to its start", ["task"], buckets=SECONDS
)
DATABASE_CONNECTIONS = Gauge("dashboard_database_connections", "Connections in use", multiprocess_mode="livesum")
LIMITED = Counter("dashboard_limited_total", "Requests and connections refused by a limit", ["limit"])
LIMITS_UNSHARED = Counter("dashboard_limits_unshared_total", "Failed exchanges of rate limit counts")
SESSIONS_ENDED = Counter("dashboard_sessions_ended_total", "Connections ended by the server", ["reason"])
REVOCATION_FAILURES = Counter("dashboard_revocation_failures_total", "Failed reads of the revocations")
KEY_SET_FAILURES = Counter("dashboard_key_set_failures_total", "Failed fetches of the identity provider's keys")
ROOMS_REWOUND = Counter("dashboard_rooms_rewound_total", "Rooms that had received more than the database holds")
FANOUT_EVENTS = Counter("dashboard_fanout_events_total", "Events received for rooms with members in this process")
FANOUT_DELIVERIES = Counter("dashboard_fanout_deliveries_total", "Events handed to a connection")
FANOUT_FAILURES = Counter("dashboard_fanout_failures_total", "Messages this process could not handle")
FANOUT_ROOMS = Gauge("dashboard_rooms", "Rooms with members in this process", multiprocess_mode="livesum")
SUBSCRIBER_LOSSES = Counter("dashboard_subscriber_losses_total", "Losses of the pub/sub connection to Redis")
CONTROL_FAILURES = Counter("dashboard_control_failures_total", "Messages to other processes that Redis did not take")
RESYNCS = Counter("dashboard_resyncs_total", "Connections closed because their room may have missed events")
SLOW_SOCKETS = Counter("dashboard_sockets_too_slow_total", "Connections closed because they did not read")
FLOODING_SOCKETS = Counter("dashboard_sockets_flooding_total", "Connections closed because they sent too many packets")
ENGINE_REFUSALS = Counter("dashboard_engine_refusals_total", "Malformed requests and packets to /socket.io")


def count_database_connections() -> None:
    """Count the connections in use of every pool in this process; a second call changes nothing."""
    for name, listener in (("checkout", _count_checkout), ("checkin", _count_checkin)):
        if not event.contains(Pool, name, listener):
            event.listen(Pool, name, listener)


def _count_checkout(connection: Any, record: Any, proxy: Any) -> None:
    del connection, proxy
    record.info["in_use"] = True
    DATABASE_CONNECTIONS.inc()


def _count_checkin(connection: Any, record: Any) -> None:
    """SQLAlchemy also calls this for a connection that was never checked out."""
    del connection
    if record.info.pop("in_use", False):
        DATABASE_CONNECTIONS.dec()
