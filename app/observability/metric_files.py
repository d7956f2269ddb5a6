"""The files in which a machine's processes keep their metrics: those of dead processes are folded into one.

prometheus_client's multiprocess mode gives each process files of its own (`counter_<pid>.db`, …) and reads all of them
for each scrape; it never removes a counter's. Here each process that starts, and each scrape, adds what dead processes
counted to `<type>_archive.db` and removes their files, so that their number is that of the living processes and no
counter ever falls.
"""

import contextlib
import fcntl
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

logger = logging.getLogger(__name__)

ARCHIVE = "archive"
TAKEN = ".taken"


def folder() -> Path | None:
    """Where this machine's processes keep their metrics; None when each has its own in memory."""
    named = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(named) if named else None


class Collector:
    """What all processes counted, living and dead."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def collect(self) -> Iterable[Metric]:
        fold(self._place)
        with _locked(self._place, fcntl.LOCK_SH):
            return list(MultiProcessCollector(None, str(self._place)).collect())


def fold(place: Path) -> None:
    """Add the counters of dead processes to the archive and remove their files. Never raises for a disk that is full."""
    try:
        with _locked(place, fcntl.LOCK_EX):
            _fold(place)
    except OSError as error:
        logger.warning("metrics.fold_failed", extra={"error": str(error)})


@contextlib.contextmanager
def _locked(place: Path, kind: int) -> Iterator[None]:
    with (place / "lock").open("a") as file:
        fcntl.flock(file, kind)
        yield


def _fold(place: Path) -> None:
    """A file is renamed before it is added. One that a crash left so was added if the archive is younger."""
    taken: dict[str, list[Path]] = defaultdict(list)
    for file in [*place.glob("*.db"), *place.glob(f"*{TAKEN}")]:
        kind, _, rest = file.name.partition("_")
        if kind == "gauge" and _is_dead(rest):  # what a dead process had open is open no more
            file.unlink(missing_ok=True)
        elif file.suffix == TAKEN:
            taken[kind].append(file)
        elif _is_dead(rest):
            taken[kind].append(file.rename(file.with_suffix(TAKEN)))
    for kind, files in taken.items():
        _add_to_archive(place / f"{kind}_{ARCHIVE}.db", files)


def _is_dead(name: str) -> bool:
    """Whether `name` ends in the id of a process that is gone."""
    pid = name.removesuffix(TAKEN).removesuffix(".db").rpartition("_")[2]
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _add_to_archive(archive: Path, files: list[Path]) -> None:
    changed_at = archive.stat().st_mtime_ns if archive.exists() else 0
    new = [file for file in files if file.stat().st_ctime_ns > changed_at]
    if new:
        draft = archive.with_suffix(".new")
        draft.unlink(missing_ok=True)
        _write(draft, [archive, *new] if archive.exists() else new)
        draft.replace(archive)
    for file in files:
        file.unlink()


def _write(draft: Path, files: Iterable[Path]) -> None:
    sums: dict[str, float] = defaultdict(float)
    for file in files:
        with contextlib.suppress(RuntimeError):  # cut off in the middle by a full disk: what was whole counts
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
                sums[key] += value
    written = MmapedDict(str(draft))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()
