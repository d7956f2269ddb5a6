"""The database is restored from an older copy while Redis keeps its data: clients equal the snapshot again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.conftest import Scene
from tests.support.stack import StackMaker


def copy_database(source: Path, target: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


@pytest.mark.slow
def test_clients_resync_after_the_database_was_restored_from_an_older_copy(make_stack: StackMaker):
    stack = make_stack()
    scene = Scene(stack)
    database, older = stack.home / "dashboard.db", stack.folder / "older.db"
    with scene.rooms:
        scene.rooms.wait_until_right(40)
        copy_database(database, older)
        for amount in (1, 2, 3):
            scene.deposit(str(amount)).expect(201)
        scene.rooms.wait_until_right(60)
        stack.stop()
        copy_database(older, database)
        stack.log_path.unlink()  # so that its `ready` line is not mistaken for that of the next start
        stack.start()
        stack.wait_until_whole(90)
        scene.deposit("5").expect(201)

        assert scene.state()["pool"]["total"] == "1005.00"
        scene.rooms.wait_until_right(60)
        stack.wait_for_log(f"room.rewound.*{scene.protocol_id}")
