"""The database is restored from an older copy while Redis keeps its data: clients equal the snapshot again."""

import pytest

from tests.faults.conftest import Scene
from tests.support.backups import copy_database
from tests.support.stack import StackMaker


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
        with stack.stopped():
            copy_database(older, database)
        stack.wait_until_whole(90)
        scene.deposit("5").expect(201)

        assert scene.state()["pool"]["total"] == "1005.00"
        scene.rooms.wait_until_right(60)
        stack.wait_for_log(f"room.rewound.*{scene.protocol_id}")
