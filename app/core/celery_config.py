"""Celery's configuration: at least once, late acknowledgement, bounded waiting, no result backend."""

import logging
import os
import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from celery import Celery
from celery.utils.dispatch import Signal
from kombu.entity import Queue
from kombu.transport.redis import Channel, QoS

from app.config import Config
from app.config.redis_addresses import SENTINEL_SCHEME, TLS_OPTIONS, parse_sentinel
from app.core import queues
from app.core.redis_connection import redis_time

logger = logging.getLogger(__name__)
acknowledgement_lost = Signal(name="acknowledgement_lost")
"""Sent for each task that cannot be acknowledged or rejected, since the broker's connection is lost: it runs again."""

TASK_TIME_LIMIT_SECONDS = 50
TIMEOUTS = {"socket_connect_timeout": 2, "socket_timeout": 5}


class RedisClockQoS(QoS):
    """Times unacknowledged messages by Redis's clock; kombu mixes the clocks of several workers.

    The messages of a lost connection are redelivered as a dead worker's are. Kombu ends the worker when it acknowledges
    or restores them, or rejects those of a killed pool process: the channel then has no address to connect to.
    """

    def ack(self, delivery_tag: str) -> None:
        if self._can_acknowledge(delivery_tag):
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if self._can_acknowledge(delivery_tag):
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]

    def _can_acknowledge(self, delivery_tag: str) -> bool:
        is_connected = self._is_connected()
        if not is_connected:
            acknowledgement_lost.send(sender=type(self))
            logger.warning("task.not_acknowledged", extra={"delivery_tag": delivery_tag})
        return is_connected

    def restore_unacked_once(self, stderr: Any = None) -> None:
        if self._is_connected():
            super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]

    def _is_connected(self) -> bool:
        transport = self.channel.connection
        return transport is not None and transport.client is not None

    def append(self, message: Any, delivery_tag: str) -> None:
        super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        with self.channel.conn_or_acquire() as client:
            client.zadd(self.unacked_index_key, {delivery_tag: redis_time(client)}, xx=True)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Redeliver messages that were unacknowledged for too long, such as a dead worker's."""
        with self.channel.conn_or_acquire() as client:
            now = redis_time(client)
            ahead = client.zrange(self.unacked_index_key, now + 1, "+inf", byscore=True)
            if ahead:  # set before Redis's clock stepped back
                client.zadd(self.unacked_index_key, dict.fromkeys(ahead, now), xx=True)
        self.visibility_timeout = self.channel.visibility_timeout + time.time() - now
        super().restore_visible(*args, **kwargs)  # type: ignore[no-untyped-call]


_connparams = Channel._connparams  # noqa: SLF001 - has no public name; Sentinel's channel uses it too


def _connection_parameters(channel: Any, asynchronous: bool = False) -> dict[str, Any]:
    """Kombu's, without redis-py's retry for the connections that a worker's event loop reads.

    With it, redis-py connects again after a restart of Redis, and then waits for a control command without a limit: the
    worker hangs. Without it kombu learns of the lost connection and begins anew.
    """
    parameters: dict[str, Any] = _connparams(channel, asynchronous)  # type: ignore[no-untyped-call]
    return parameters | {"retry_on_timeout": False} if asynchronous else parameters


def broker(redis_url: str) -> tuple[str, dict[str, Any]]:
    """Celery's URL of the broker, and its transport options for Sentinel."""
    if redis_url.startswith(SENTINEL_SCHEME):
        address = parse_sentinel(redis_url)
        options = {"master_name": address.service, "sentinel_kwargs": {**TIMEOUTS, **address.sentinel_login}}
        return address.broker_url(), options
    # Celery accepts only TLS options, and by default verifies no certificate.
    parts = urlsplit(redis_url)
    tls = {name: values[0] for name, values in parse_qs(parts.query).items() if name in TLS_OPTIONS}
    if parts.scheme == "rediss":
        tls.setdefault("ssl_cert_reqs", "required")
    return urlunsplit(parts._replace(query=urlencode(tls))), {}


def configure(celery: Celery, settings: Config) -> None:
    """Configure the broker and the tasks. A killed worker's tasks run again; a task that raises is acknowledged."""
    for variable in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):  # override `broker_url`
        os.environ.pop(variable, None)
    Channel.QoS = RedisClockQoS
    Channel._connparams = _connection_parameters  # type: ignore[method-assign] # noqa: SLF001 - as above
    url, sentinel_options = broker(settings.redis_url)
    celery.conf.update(
        broker_url=url,
        broker_transport_options=_transport_options(settings) | sentinel_options,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=10,
        broker_pool_acquire_timeout=2,
        task_publish_retry=False,
        task_queues=[Queue(name) for name in queues.ALL_QUEUES],
        task_default_queue=queues.MAINTENANCE_QUEUE,
        task_create_missing_queues=False,
        task_routes={task: {"queue": queue} for task, queue in queues.TASK_QUEUES.items()},
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_time_limit=TASK_TIME_LIMIT_SECONDS,
        task_soft_time_limit=TASK_TIME_LIMIT_SECONDS - 10,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=True,
        enable_utc=True,
        timezone="UTC",
        beat_scheduler="tasks.scheduler.MonotonicScheduler",
    )


def _transport_options(settings: Config) -> dict[str, Any]:
    return {
        "visibility_timeout": settings.visibility_timeout,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 5,
        **TIMEOUTS,
        "health_check_interval": 15,
        "retry_on_timeout": True,
        # A publisher tries twice without a pause instead of for 6 s: sweeps enqueue again what could not be enqueued.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
    }
