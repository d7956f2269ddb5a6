"""Gauges that are read at each scrape of `/metrics`: lengths and ages of queues.

Each describes the whole system and is the same in every web process: aggregate with `max`, not `sum`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily

from app.core.extensions import db, redis_client
from app.core.queues import ALL_QUEUES

logger = logging.getLogger(__name__)

CACHE_SECONDS = 5.0


class Reading(GaugeMetricFamily):
    """One gauge; `values` maps the values of its one label to numbers; without a label the key is ""."""

    def __init__(self, name: str, about: str, values: Mapping[str, float], label: str = "") -> None:
        super().__init__(name, about, labels=[label] if label else [])
        for key, value in values.items():
            self.add_metric([key], value)


Reader = Callable[[], list[Reading]]


class StateCollector:
    """Calls the readers at most every five seconds; the failure of one does not affect the others."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = {"queues": _read_queues, **readers}
        self._readings: list[Reading] = []
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def collect(self) -> list[Reading]:
        with self._lock:
            if time.monotonic() - self._read_at > CACHE_SECONDS:
                self._readings = list(self._read())
                self._read_at = time.monotonic()
            return self._readings

    def _read(self) -> Iterator[Reading]:
        is_up: dict[str, float] = {}
        for name, reader in self._readers.items():
            try:
                yield from reader()
                is_up[name] = 1
            except Exception as error:  # noqa: BLE001 - any error of a driver means that this source is down
                logger.warning("metrics.source_failed", extra={"source": name, "error": str(error)})
                is_up[name] = 0
            finally:
                db.session.rollback()
        yield Reading("dashboard_source_up", "1 if the gauges of this source could be read", is_up, "source")


def _read_queues() -> list[Reading]:
    """The lengths of Celery's queues, which are Redis lists, and Redis's memory and clients."""
    with redis_client().pipeline(transaction=False) as pipe:
        for queue in ALL_QUEUES:
            pipe.llen(queue)
        pipe.hlen("unacked")
        pipe.info("memory")
        pipe.info("clients")
        *lengths, unacknowledged, memory, clients = pipe.execute()
    waiting = dict(zip(ALL_QUEUES, lengths, strict=True))
    redis = {"used": memory["used_memory"], "limit": memory.get("maxmemory", 0)}
    about_unacknowledged = "Tasks delivered to workers and not acknowledged"
    return [
        Reading("dashboard_celery_queue_length", "Tasks waiting for a worker", waiting, "queue"),
        Reading("dashboard_celery_unacknowledged", about_unacknowledged, {"": unacknowledged}),
        Reading("dashboard_redis_memory_bytes", "Redis's memory; a limit of 0 means no limit", redis, "kind"),
        Reading("dashboard_redis_clients", "Open connections to Redis", {"": clients["connected_clients"]}),
    ]
