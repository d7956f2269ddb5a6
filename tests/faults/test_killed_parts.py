"""SIGKILL of each part alone and of all at once: accepted changes are kept and every client equals the snapshot."""

import pytest

from tests.support.processes import until

PARTS = ["web-1", "worker", "beat", "redis"]


def _wait_until_recovered(scene, progress):
    """Wait until the system accepts a report and a deposit."""

    def works():
        try:
            return scene.report(progress).status == 202 and scene.deposit("1").status == 201
        except OSError:
            return False

    until(works, 40, "reports and deposits are accepted again", pause=0.2)


@pytest.mark.parametrize("part", PARTS)
def test_changes_accepted_just_before_a_kill_are_kept_and_every_client_recovers(scene, part):
    scene.report(10).expect(202)
    scene.report(100, status="COMPLETED", nextTask="prove").expect(202)
    scene.deposit("5").expect(201)

    scene.stack.kill(part)

    _wait_until_recovered(scene, 30)
    names = [task["name"] for task in scene.stack.api.admin.get(f"/agents/{scene.agent_id}/tasks").expect(200)["items"]]
    assert {"scan", "prove"} <= set(names)
    assert float(scene.state()["pool"]["total"]) >= 1005
    scene.rooms.wait_until_right(40)


def test_after_a_kill_of_all_parts_everything_accepted_is_kept(scene):
    scene.report(10).expect(202)
    scene.report(100, status="FAILED", error={"message": "out of gas"}).expect(202)
    scene.deposit("7").expect(201)

    for part in [*PARTS, "worker-payments"]:
        scene.stack.kill(part)

    scene.stack.wait_until_open(40)
    until(lambda: scene.stack.api.with_token(None).get("//readyz").status == 200, 40, "the system is ready")
    assert scene.state()["pool"]["total"] == "1007.00"
    assert scene.agent()["currentTask"]["status"] == "FAILED"
    scene.rooms.wait_until_right(60)
