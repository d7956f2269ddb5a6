"""Metric files that a full disk cannot kill a process with.

prometheus_client maps sparse files: the first write to a page that the disk has no room for is a SIGBUS. Here the space
is allocated beforehand; where there is none, the process counts in memory alone, unseen by the others, until it ends.
"""

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

from prometheus_client import mmap_dict, values

FIRST_BYTES = 1 << 16
ENTRY_BYTES = 4 + 8 + 16  # of an entry beside its key: length, padding, value and time


class AllocatedDict(mmap_dict.MmapedDict):
    """As the library's, on allocated space."""

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
    """Make the file with its first space; leave none behind where there is no room: readers cannot read half a file."""
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
    """A path to a file that no disk holds, where the system has such; else in the folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return f"/proc/self/fd/{os.memfd_create('metrics')}"
    return tempfile.mkstemp(prefix="dashboard-metrics-")[1]


def install() -> None:
    """Use them from now on; before the first metric is made."""
    values.MmapedDict = AllocatedDict  # type: ignore[attr-defined]
