"""Copies of a running system's data, as an operator takes them: the SQLite database and the embedded Redis's folder."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

ATTEMPTS, PAUSE_SECONDS = 20, 0.1
MANIFEST = "appendonlydir/appendonly.aof.manifest"


def copy_database(source: Path, target: Path) -> None:
    """Replace the database file `target` by a copy of `source`, which may be in use."""
    for suffix in ("", "-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


def copy_redis_data(source: Path, target: Path) -> None:
    """Replace the folder `target` by a copy of `source`, which a running server may be appending to.

    The copy is repeated if the server rewrote its append-only file meanwhile.
    """
    for _ in range(ATTEMPTS):
        shutil.rmtree(target, ignore_errors=True)
        try:
            before = (source / MANIFEST).read_bytes()
            shutil.copytree(source, target)
            if before == (source / MANIFEST).read_bytes() == (target / MANIFEST).read_bytes():
                return
        except (OSError, shutil.Error):  # a file was deleted meanwhile
            pass
        time.sleep(PAUSE_SECONDS)
    raise AssertionError(f"{source} changed during each of {ATTEMPTS} attempts to copy it")
