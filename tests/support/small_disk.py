"""A small disk of its own, a tmpfs, that a test fills completely while a system keeps its data there."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEGABYTES = 512
LARGEST_STEP = 64 << 20
SMALLEST_STEP = 1 << 12
FILLED_EVERY_SECONDS = 0.2


class SmallDisk:
    """`with SmallDisk.mounted(folder) as disk:` mounts it. Needs the right to mount, as root or in a user namespace

    (`unshare --user --map-root-user --mount`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @classmethod
    @contextmanager
    def mounted(cls, path: Path) -> Iterator["SmallDisk | None"]:
        """Mount the disk while the `with` block runs; yields None where mounting is not permitted."""
        if shutil.which("mount") is None:
            yield None
            return
        path.mkdir(parents=True)
        size = f"size={MEGABYTES}m,mode=700"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", path], capture_output=True, check=False)
        if done.returncode:
            yield None
            return
        try:
            yield cls(path)
        finally:
            subprocess.run(["umount", "--lazy", path], check=True)

    def be_full(self, seconds: float) -> None:
        """Leave no free block for this time, whatever is deleted meanwhile; then free the space again."""
        end = time.monotonic() + seconds
        with self._ballast.open("wb") as ballast:
            while time.monotonic() < end:
                self._fill(ballast.fileno())
                assert shutil.disk_usage(self.path).free < LARGEST_STEP, "the disk is not full"
                time.sleep(FILLED_EVERY_SECONDS)
        self._ballast.unlink()

    def _fill(self, descriptor: int) -> None:
        step = LARGEST_STEP
        while step >= SMALLEST_STEP:
            try:
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, step)
            except OSError:
                step //= 2
