"""Gauges that are read at each scrape of `/metrics`: lengths and ages of queues.

Each describes the whole system and is the same in every web process: aggregate with `max`, not `sum`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from app.core.extensions import db, redis_client
from app.core.queues import ALL_QUEUES

logger = logging.getLogger(__name__)

CACHE_SECONDS = 5.0


@dataclass(frozen=True)
class Reading:
    """One gauge; `values` maps the values of its one label to numbers; without a label the key is ""."""

    name: str
    about: str
    values: dict[str, float]
    label: str = ""

    def as_metric(self) -> Metric:
        family = GaugeMetricFamily(self.name, self.about, labels=[self.label] if self.label else [])
        for label, value in self.values.items():
            family.add_metric([label] if self.label else [], value)
        return family


Reader = Callable[[], list[Reading]]


class StateCollector:
    """Calls the readers at most every five seconds; the failure of one does not affect the others."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = {"queues": _read_queues, **readers}
        self._readings: list[Reading] = []
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at > CACHE_SECONDS:
                self._readings = list(_read_all(self._readers))
                self._read_at = time.monotonic()
            readings = list(self._readings)
        return (reading.as_metric() for reading in readings)


def _read_all(readers: Mapping[str, Reader]) -> Iterator[Reading]:
    is_up: dict[str, float] = {}
    for name, reader in readers.items():
        try:
            yield from reader()
            is_up[name] = 1
        except Exception as error:  # noqa: BLE001 - any error of a driver means that this source is down
            logger.warning("metrics.source_failed", extra={"source": name, "error": str(error)})
            is_up[name] = 0
        finally:
            db.session.rollback()
    yield Reading("dashboard_source_up", "1 if this source could be read", is_up, "source")


def _read_queues() -> list[Reading]:
    """The lengths of Celery's queues, which are Redis lists, and Redis's memory and clients."""
    client = redis_client()
    with client.pipeline(transaction=False) as pipe:
        for queue in ALL_QUEUES:
            pipe.llen(queue)
        pipe.hlen("unacked")
        pipe.info("memory")
        pipe.info("clients")
        *lengths, unacknowledged, memory, clients = pipe.execute()
    waiting = {queue: float(length) for queue, length in zip(ALL_QUEUES, lengths, strict=True)}
    redis = {"used": float(memory["used_memory"]), "limit": float(memory.get("maxmemory", 0))}
    return [
        Reading("dashboard_celery_queue_length", "Tasks waiting for a worker", waiting, "queue"),
        Reading(
            "dashboard_celery_unacknowledged",
            "Tasks delivered to workers and not acknowledged",
            {"": float(unacknowledged)},
        ),
        Reading("dashboard_redis_memory_bytes", "Redis's memory; a limit of 0 means no limit", redis, "kind"),
        Reading("dashboard_redis_clients", "Open connections to Redis", {"": float(clients["connected_clients"])}),
    ]
