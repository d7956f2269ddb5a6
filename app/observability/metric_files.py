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

from app.observability.metric_storage import ENTRY_BYTES, FIRST_BYTES

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
    """Add the counters of dead processes to the archive and remove their files. A full disk is logged, not raised."""
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
    """A file is renamed before it is added. One that a crash left renamed was added if the archive is younger."""
    dead: dict[str, list[Path]] = defaultdict(list)
    for file in place.glob(f"*{TAKEN}"):
        archive = _archive(place, file)
        if archive.exists() and file.stat().st_ctime_ns <= archive.stat().st_mtime_ns:
            file.unlink()
        else:
            dead[archive.name].append(file)
    for file in place.glob("*.db"):
        if not _is_dead(file):
            continue
        if file.name.startswith("gauge_"):  # what a dead process had open is open no more
            file.unlink()
        else:
            dead[_archive(place, file).name].append(file.rename(file.with_suffix(TAKEN)))
    for name, files in dead.items():
        _add_to_archive(place / name, files)


def _archive(place: Path, file: Path) -> Path:
    """That of the file's type of metric."""
    return place / f"{file.name.partition('_')[0]}_{ARCHIVE}.db"


def _is_dead(file: Path) -> bool:
    """Whether the process whose id is in the file's name is gone."""
    pid = file.stem.rpartition("_")[2]
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        pass
    return False


def _add_to_archive(archive: Path, files: list[Path]) -> None:
    draft = archive.with_suffix(".new")
    draft.unlink(missing_ok=True)
    _write(draft, [archive, *files] if archive.exists() else files)
    draft.replace(archive)
    for file in files:
        file.unlink()


def _write(draft: Path, files: Iterable[Path]) -> None:
    sums: dict[str, float] = defaultdict(float)
    for file in files:
        with contextlib.suppress(RuntimeError):  # cut off in the middle by a full disk: what was whole counts
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
                sums[key] += value
    _allocate(draft, sums)
    written = MmapedDict(str(draft))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()


def _allocate(draft: Path, sums: dict[str, float]) -> None:
    """Reserve the disk space of all entries. Raises OSError: writing to a mapped hole of a full disk is a SIGBUS."""
    needed = sum(ENTRY_BYTES + len(key.encode()) for key in sums)
    with draft.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(FIRST_BYTES, 2 * needed))
