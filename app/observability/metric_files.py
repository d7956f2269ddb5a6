"""The files in which the processes of one machine keep their metrics.

prometheus_client's multiprocess mode gives each process files of its own (`counter_<pid>.db`, …), reads all of them at
each scrape and never removes a counter's. It maps them as sparse files, so that on a full disk the first write to a
page is a SIGBUS. Two things are different here:

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
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

logger = logging.getLogger(__name__)

ARCHIVE = "archive"
TAKEN = ".taken"
FIRST_BYTES = 1 << 16
ENTRY_BYTES = 4 + 8 + 16  # of an entry beside its key: length, padding, value and time


def folder() -> Path | None:
    """The folder of this machine's metric files; None when each process keeps its metrics in memory."""
    named = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(named) if named else None


def install() -> None:
    """Allocate metric files from now on, and archive those of dead processes. Call it before the first metric."""
    values.MmapedDict = AllocatedDict  # type: ignore[attr-defined]
    if place := folder():
        with contextlib.suppress(OSError):  # without a folder, each process counts in memory
            place.mkdir(parents=True, exist_ok=True)
            fold(place)


class Collector:
    """The metrics of all processes, living and dead."""

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
    """Rename each file before adding it. A renamed file left by a crash was added if the archive is younger."""
    dead: dict[str, list[Path]] = defaultdict(list)
    for file in place.glob(f"*{TAKEN}"):
        archive = _archive(place, file)
        if archive.exists() and file.stat().st_ctime_ns <= archive.stat().st_mtime_ns:
            file.unlink()
        else:
            dead[archive.name].append(file)
    for file in place.glob("*.db"):
        if not _is_of_dead_process(file):
            continue
        if file.name.startswith("gauge_"):  # counts what the process had open
            file.unlink()
        else:
            dead[_archive(place, file).name].append(file.rename(file.with_suffix(TAKEN)))
    for name, files in dead.items():
        _add_to_archive(place / name, files)


def _archive(place: Path, file: Path) -> Path:
    """The archive of the file's metric type."""
    return place / f"{file.name.partition('_')[0]}_{ARCHIVE}.db"


def _is_of_dead_process(file: Path) -> bool:
    pid = file.stem.rpartition("_")[2]
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's process
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
        with contextlib.suppress(RuntimeError):  # truncated by a full disk: the complete entries count
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
                sums[key] += value
    needed = sum(ENTRY_BYTES + len(key.encode()) for key in sums)
    with draft.open("wb") as new:
        os.posix_fallocate(new.fileno(), 0, max(FIRST_BYTES, 2 * needed))
    written = MmapedDict(str(draft))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()


class AllocatedDict(MmapedDict):
    """The library's metric file, on allocated space."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode and not _allocate_file(Path(filename)):
            filename = _memory_file()
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        needed = self._used + len(key.encode()) + ENTRY_BYTES
        if needed > self._capacity and not _allocate(self._f.fileno(), 2 * self._capacity):
            self._move_to_memory()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _move_to_memory(self) -> None:
        moved: Any = Path(_memory_file()).open("a+b")  # noqa: SIM115 - stays open, as the library's
        moved.write(self._m[: self._capacity])
        moved.flush()
        self._f.close()
        self._f, self._m = moved, mmap.mmap(moved.fileno(), self._capacity)


def _allocate_file(path: Path) -> bool:
    """Create the file with its first space, or leave no file: readers fail on an incomplete one."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_size or _allocate(descriptor, FIRST_BYTES):
            return True
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)


def _allocate(descriptor: int, size: int) -> bool:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        return False
    return True


def _memory_file() -> str:
    """The path of a file in memory; where the system has none, in the folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return f"/proc/self/fd/{os.memfd_create('metrics')}"
    return tempfile.mkstemp(prefix="dashboard-metrics-")[1]
