"""The metrics that processes count, and the files in which the processes of one machine keep them.

A series is kept forever, so each label's values come from a closed set, never from a caller's input. Gauges that are
read at each scrape are in the features' `collectors` modules.

With PROMETHEUS_MULTIPROC_DIR prometheus_client gives each process files of its own (`counter_<pid>.db`, …), reads all
of them at each scrape and never removes a counter's. It maps them as sparse files, so that on a full disk the first
write to a page is a SIGBUS. Two things are different here:

- Each process that starts, and each scrape, adds the counters of dead processes to `<type>_archive.db` and removes
  their files: the number of files is bounded by the living processes, and no counter decreases.
- Disk space is allocated before it is written. Without space a process counts in memory alone, invisible to the
  others, until it ends.
"""

import contextlib
import fcntl
import logging
import mmap
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import event
from sqlalchemy.pool import Pool

from app.observability.probe import is_running

logger = logging.getLogger(__name__)

FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
TAKEN = ".taken"
FIRST_BYTES = 1 << 16
ENTRY_BYTES = 4 + 8 + 16  # of an entry beside its key: length, padding, value and time


def registry() -> CollectorRegistry:
    """The metrics of all processes of this machine; without a folder for them, those of this process."""
    if not FOLDER:
        return REGISTRY
    found = CollectorRegistry()
    FileCollector(found, FOLDER)  # type: ignore[no-untyped-call]  # registers itself
    return found


class FileCollector(MultiProcessCollector):
    """The metrics of all processes, living and dead."""

    def collect(self) -> list[Metric]:
        archive_counters(Path(self._path))
        with _locked(Path(self._path), fcntl.LOCK_SH):
            return list(super().collect())  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, kind)
        yield


def archive_counters(folder: Path) -> None:
    """Add the counters of dead processes to the archive and remove their files. A full disk is logged, not raised."""
    try:
        with _locked(folder, fcntl.LOCK_EX):
            for archive, files in _files_of_dead_processes(folder).items():
                _add_to_archive(archive, files)
    except OSError as error:
        logger.warning("metrics.archive_failed", extra={"error": str(error)})


def _files_of_dead_processes(folder: Path) -> dict[Path, list[Path]]:
    """Rename files before they are added. A renamed file left by a crash was added if the archive is younger."""
    dead: dict[Path, list[Path]] = defaultdict(list)
    for file in folder.glob(f"*{TAKEN}"):
        archive = _archive_of(file)
        if archive.exists() and file.stat().st_ctime_ns <= archive.stat().st_mtime_ns:
            file.unlink()
        else:
            dead[archive].append(file)
    for file in folder.glob("*.db"):
        pid = file.stem.rpartition("_")[2]
        if not pid.isdecimal() or is_running(int(pid)):
            continue
        if file.name.startswith("gauge_"):  # counts what the process had open
            file.unlink()
        else:
            dead[_archive_of(file)].append(file.rename(file.with_suffix(TAKEN)))
    return dead


def _archive_of(file: Path) -> Path:
    """The archive of the file's metric type."""
    return file.with_name(f"{file.name.partition('_')[0]}_archive.db")


def _add_to_archive(archive: Path, files: list[Path]) -> None:
    sums: dict[str, float] = defaultdict(float)
    for file in [archive, *files] if archive.exists() else files:
        with contextlib.suppress(RuntimeError):  # truncated by a full disk: the complete entries count
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
                sums[key] += value
    draft = archive.with_suffix(".new")
    draft.unlink(missing_ok=True)
    needed = sum(ENTRY_BYTES + len(key.encode()) for key in sums)
    with draft.open("wb") as new:
        os.posix_fallocate(new.fileno(), 0, max(FIRST_BYTES, 2 * needed))
    written = MmapedDict(str(draft))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()
    draft.replace(archive)
    for file in files:
        file.unlink()


class AllocatedDict(MmapedDict):
    """The library's metric file, on allocated space; a file in memory where the disk has none."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode:
            try:
                with Path(filename).open("ab") as file:
                    if not file.tell():
                        os.posix_fallocate(file.fileno(), 0, FIRST_BYTES)
            except OSError:
                with contextlib.suppress(OSError):
                    Path(filename).unlink()  # readers fail on an incomplete file
                filename = _memory_file()
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        try:
            if self._used + len(key.encode()) + ENTRY_BYTES > self._capacity:
                os.posix_fallocate(self._f.fileno(), 0, 2 * self._capacity)
        except OSError:
            moved: Any = Path(_memory_file()).open("a+b")  # noqa: SIM115 - stays open, as the library's
            moved.write(self._m[: self._capacity])
            moved.flush()
            self._f.close()
            self._f, self._m = moved, mmap.mmap(moved.fileno(), self._capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]


def _memory_file() -> str:
    return f"/proc/self/fd/{os.memfd_create('metrics')}"


values.MmapedDict = AllocatedDict  # type: ignore[attr-defined]
if FOLDER:
    with contextlib.suppress(OSError):  # without a folder, each process counts in memory
        Path(FOLDER).mkdir(parents=True, exist_ok=True)
        archive_counters(Path(FOLDER))

OTHER = "other"
HTTP_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 10.0, 30.0)

EVENTS_EMITTED = Counter("dashboard_events_emitted_total", "Events published to their room", ["event"])
EVENTS_DROPPED = Counter("dashboard_events_dropped_total", "Events dropped from a full room queue", ["event"])
EVENTS_UNDELIVERED = Counter(
    "dashboard_events_undelivered_total", "Events that some client or process missed", ["event"]
)
EMISSION_FAILURES = Counter("dashboard_emission_failures_total", "Events that Redis did not accept", ["event"])
ENQUEUE_FAILURES = Counter("dashboard_enqueue_failures_total", "Celery tasks that could not be enqueued", ["task"])
PROGRESS_ACCEPTED = Counter("dashboard_progress_accepted_total", "Progress reports accepted", ["status"])
PROGRESS_LATENCY = Histogram(
    "dashboard_progress_latency_seconds", "From the acceptance of a report to its emission", buckets=SECONDS
)
PAYMENTS = Counter(
    "dashboard_payments_total", "Attempts to settle a payment, and cancellations, by outcome", ["outcome"]
)
WEBHOOK_ATTEMPTS = Counter("dashboard_webhook_attempts_total", "Attempts to deliver, by outcome", ["outcome"])
WEBHOOK_ATTEMPT_SECONDS = Histogram(
    "dashboard_webhook_attempt_seconds", "From the start of an attempt to its end", buckets=SECONDS
)
WEBHOOK_DELIVERIES_FAILED = Counter(
    "dashboard_webhook_deliveries_failed_total", "Deliveries given up after the last attempt"
)
WEBHOOKS_DISABLED = Counter("dashboard_webhooks_disabled_total", "Webhooks that were disabled, by cause", ["cause"])
SOCKETS = Gauge("dashboard_sockets", "Open Socket.IO connections", multiprocess_mode="livesum")
STREAMS = Gauge("dashboard_streams", "Open event streams (Server-Sent Events)", multiprocess_mode="livesum")
STREAM_STATES = Counter("dashboard_stream_states_total", "Snapshots sent to event streams", ["cause"])
HTTP_REQUESTS = Counter("dashboard_http_requests_total", "REST requests", ["method", "route", "status"])
HTTP_SECONDS = Histogram("dashboard_http_request_seconds", "Time to the response", ["route"], buckets=SECONDS)
CELERY_TASKS = Counter("dashboard_celery_tasks_total", "Finished tasks", ["task", "state"])
CELERY_SECONDS = Histogram("dashboard_celery_task_seconds", "Run time of a task", ["task"], buckets=SECONDS)
CELERY_LOST_ACKNOWLEDGEMENTS = Counter(
    "dashboard_celery_lost_acknowledgements_total",
    "Tasks that were not acknowledged, since the connection to the broker was lost; they run again",
)
CELERY_WAIT = Histogram(
    "dashboard_celery_wait_seconds", "From when a task was sent to its start", ["task"], buckets=SECONDS
)
DATABASE_CONNECTIONS = Gauge("dashboard_database_connections", "Connections in use", multiprocess_mode="livesum")
LIMITED = Counter("dashboard_limited_total", "Requests and connections refused by a limit", ["limit"])
EXPORT_FAILURES = Counter("dashboard_export_failures_total", "CSV exports cut by an error after their first page")
LIMITS_UNSHARED = Counter("dashboard_limits_unshared_total", "Failed exchanges of rate limit counts")
SESSIONS_ENDED = Counter("dashboard_sessions_ended_total", "Connections ended by the server", ["reason"])
REVOCATION_FAILURES = Counter("dashboard_revocation_failures_total", "Failed reads of the revocations")
KEY_SET_FAILURES = Counter("dashboard_key_set_failures_total", "Failed fetches of the identity provider's keys")
ROOMS_REWOUND = Counter("dashboard_rooms_rewound_total", "Rooms set back to an older database")
FANOUT_EVENTS = Counter("dashboard_fanout_events_total", "Events received for rooms with members in this process")
FANOUT_DELIVERIES = Counter("dashboard_fanout_deliveries_total", "Events handed to a connection", ["transport"])
FANOUT_FAILURES = Counter("dashboard_fanout_failures_total", "Messages this process could not handle")
FANOUT_ROOMS = Gauge("dashboard_rooms", "Rooms with members in this process", multiprocess_mode="livesum")
SUBSCRIBER_LOSSES = Counter("dashboard_subscriber_losses_total", "Losses of the pub/sub connection to Redis")
CONTROL_FAILURES = Counter("dashboard_control_failures_total", "Messages to other processes that Redis did not take")
RESYNCS = Counter("dashboard_resyncs_total", "Connections closed because their room may have missed events")
SLOW_SOCKETS = Counter("dashboard_sockets_too_slow_total", "Connections closed because they did not read")
FLOODING_SOCKETS = Counter("dashboard_sockets_flooding_total", "Connections closed because they sent too many packets")
ENGINE_REFUSALS = Counter("dashboard_engine_refusals_total", "Malformed requests and packets to /socket.io")


@event.listens_for(Pool, "checkout")
def _count_checkout(_connection: Any, record: Any, _proxy: Any) -> None:
    record.info["in_use"] = True
    DATABASE_CONNECTIONS.inc()


@event.listens_for(Pool, "checkin")
def _count_checkin(_connection: Any, record: Any) -> None:
    """SQLAlchemy also calls this for a connection that was never checked out."""
    if record.info.pop("in_use", False):
        DATABASE_CONNECTIONS.dec()
