"""SIGKILL of each part, alone and all together: what was accepted is kept, and every client ends up exact."""

import pytest

from tests.support.processes import until

PARTS = ["web-1", "worker", "beat", "redis"]


def _recovered(scene, progress):
    """The system takes a report and a deposit again."""

    def works():
        try:
            return scene.report(progress).status == 202 and scene.deposit("1").status == 201
        except OSError:
            return False

    until(works, 40, "reports and deposits are accepted again", pause=0.2)


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_comes_back_and_no_client_stays_wrong(scene, part):
    scene.report(10).expect(202)
    scene.deposit("5").expect(201)

    scene.stack.kill(part)

    _recovered(scene, 20)
    scene.rooms.wait_until_right(40)


@pytest.mark.parametrize("part", PARTS)
def test_a_completion_accepted_just_before_a_kill_is_kept_and_told(scene, part):
    scene.report(10).expect(202)
    scene.report(100, status="COMPLETED", nextTask="prove").expect(202)

    scene.stack.kill(part)

    _recovered(scene, 30)
    names = [task["name"] for task in scene.stack.api.admin.get(f"/agents/{scene.agent_id}/tasks").expect(200)["items"]]
    assert {"scan", "prove"} <= set(names)
    scene.rooms.wait_until_right(40)


def test_all_parts_killed_at_once_come_back_with_everything_that_was_accepted(scene):
    scene.report(10).expect(202)
    scene.report(100, status="FAILED", error={"message": "out of gas"}).expect(202)
    scene.deposit("7").expect(201)

    for part in [*PARTS, "worker-payments"]:
        scene.stack.kill(part)

    scene.stack.wait_until_open(40)
    until(lambda: scene.stack.api.with_token(None).get("//readyz").status == 200, 40, "everything is ready again")
    assert scene.state()["pool"]["total"] == "1007.00"
    assert scene.agent()["currentTask"]["status"] == "FAILED"
    scene.rooms.wait_until_right(60)
