"""Numbers that are not counted but read: depth and age of what waits, read when `/metrics` is asked for.

Each is the whole system's and the same from every web process: take the maximum of them, not the sum.
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

REMEMBERED_SECONDS = 5.0


@dataclass(frozen=True)
class Reading:
    """One gauge; `values` by the value of its one label, or with the key "" when it has none."""

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
    """Asks the readers, at most every five seconds; one that fails takes no other with it."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = {"queues": _queues, **readers}
        self._readings: list[Reading] = []
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at > REMEMBERED_SECONDS:
                self._readings = list(_read_all(self._readers))
                self._read_at = time.monotonic()
            readings = list(self._readings)
        return (reading.as_metric() for reading in readings)


def _read_all(readers: Mapping[str, Reader]) -> Iterator[Reading]:
    answered: dict[str, float] = {}
    for name, reader in readers.items():
        try:
            yield from reader()
            answered[name] = 1
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, this source does not answer
            logger.warning("metrics.source_failed", extra={"source": name, "error": str(error)})
            answered[name] = 0
        finally:
            db.session.rollback()
    yield Reading("dashboard_source_up", "Whether the numbers of this source could be read", answered, "source")


def _queues() -> list[Reading]:
    """Celery's queues, which are Redis lists, and Redis itself."""
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
        Reading("dashboard_celery_unacknowledged", "Tasks that workers hold", {"": float(unacknowledged)}),
        Reading("dashboard_redis_memory_bytes", "Redis's memory; a limit of 0 is none", redis, "kind"),
        Reading("dashboard_redis_clients", "Connections to Redis", {"": float(clients["connected_clients"])}),
    ]
