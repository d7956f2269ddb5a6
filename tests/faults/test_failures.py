"""Parts of a running system are killed, hang or lose data: accepted changes are kept and every client recovers.

All tests share one system, and each leaves it working.
"""

import os
import signal
import sqlite3
import time

import pytest

from app.realtime import emitter, limiter
from tests.factories import file_vulnerability
from tests.faults.conftest import Scene
from tests.support.backups import copy_database
from tests.support.processes import until

PARTS = ["web-1", "worker", "beat", "redis"]
OUTAGE_SECONDS = 30


def _wait_until_recovered(scene, progress):
    """Wait until the system accepts a report and a deposit."""

    def works():
        try:
            return scene.report(progress).status == 202 and scene.deposit("1").status == 201
        except OSError:
            return False

    until(works, 40, "reports and deposits are accepted again", pause=0.2)


def _wait_until_reports_are_accepted(scene):
    def reports():
        return scene.report(50).status == 202

    until(reports, 40, "reports are accepted again", pause=0.2)


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

    for part in [*PARTS, "worker-payments", "worker-webhooks"]:
        scene.stack.kill(part)

    scene.stack.wait_until_open(40)
    until(lambda: scene.stack.api.with_token(None).get("//readyz").status == 200, 40, "the system is ready")
    assert scene.state()["pool"]["total"] == "1007.00"
    assert scene.agent()["currentTask"]["status"] == "FAILED"
    scene.rooms.wait_until_right(60)


@pytest.mark.slow
def test_while_redis_hangs_for_30_s_deposits_are_accepted_reports_rejected_and_clients_recover(scene):
    scene.report(10).expect(202)
    scene.stack.freeze("redis")
    began = time.monotonic()

    refused = scene.report(20)
    accepted = scene.deposit("3")

    assert (refused.status, refused.code) == (503, "REDIS_UNAVAILABLE")
    assert refused.headers["retry-after"]
    assert accepted.status == 201
    until(lambda: time.monotonic() - began > OUTAGE_SECONDS, OUTAGE_SECONDS + 5, "the outage has lasted")
    scene.stack.signal("redis", signal.SIGCONT)
    _wait_until_reports_are_accepted(scene)
    scene.rooms.wait_until_right(60)
    assert scene.state()["pool"]["total"] == "1003.00"


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
def test_after_closed_redis_connections_every_client_notices_what_it_missed(scene, kind):
    for amount in range(1, 6):
        scene.stack.redis().client_kill_filter(_type=kind, skipme=True)
        scene.deposit(str(amount)).expect(201)

    scene.rooms.wait_until_right(40)
    assert scene.state()["pool"]["total"] == "1015.00"


def test_after_redis_lost_its_data_sequence_numbers_rise_and_clients_resync(scene):
    scene.report(10).expect(202)
    scene.report(100, status="COMPLETED", nextTask="prove").expect(202)
    before = int(scene.state()["seq"])

    scene.stack.redis().flushall()  # the same as a restart with an empty disk
    scene.stack.redis().client_kill_filter(_type="pubsub")

    _wait_until_reports_are_accepted(scene)
    scene.deposit("2").expect(201)
    assert int(scene.state()["seq"]) > before
    scene.rooms.wait_until_right(60)


def _pay(scene):
    finding = file_vulnerability(scene.stack.api, scene.protocol_id, bounty="100")
    scene.stack.api.validator.post(f"/vulnerabilities/{finding['id']}/confirm", {}).expect(200)
    return scene.stack.api.owner.post(f"/vulnerabilities/{finding['id']}/payment", {"recipient": "0xabc"}).expect(202)


def _is_released(scene, payment):
    return scene.stack.api.owner.get(f"/payments/{payment['id']}").expect(200)["status"] == "RELEASED"


def test_a_payment_whose_message_was_lost_is_settled_by_the_sweeper(scene):
    supervisor = scene.stack.process.pid
    os.kill(supervisor, signal.SIGSTOP)  # so that no worker takes the message
    try:
        scene.stack.kill("worker-payments")
        payment = _pay(scene)
        assert scene.stack.redis().delete("payments") == 1
    finally:
        os.kill(supervisor, signal.SIGCONT)

    until(lambda: _is_released(scene, payment), 40, "the payment is released")
    assert scene.state()["pool"]["paid"] == "100.00"
    scene.rooms.wait_until_right(30)


def test_the_next_tick_does_the_work_of_lost_ticks(scene):
    for progress in range(1, 6):
        scene.report(progress).expect(202)
        scene.stack.redis().delete("realtime")
    scene.rooms.wait_until_right(30)


def test_a_hung_worker_is_replaced(scene):
    hung = scene.stack.pid("worker")
    scene.stack.freeze("worker")

    def replaced() -> bool:
        try:
            return scene.stack.pid("worker") != hung
        except FileNotFoundError:  # between the old and the new process
            return False

    until(replaced, 90, "another worker runs")
    scene.stack.wait_for_log("worker hangs: no sign of life")
    scene.report(42).expect(202)
    scene.rooms.wait_until_right(30)


def test_a_write_to_a_locked_database_is_rejected_with_503_and_changes_nothing(scene):
    other = sqlite3.connect(scene.stack.home / "dashboard.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        refused = scene.deposit("9")
        health = scene.stack.api.with_token(None).get("//healthz")
    finally:
        other.execute("ROLLBACK")
        other.close()

    assert refused.status == 503
    assert refused.code.startswith("DATABASE")
    assert refused.headers["retry-after"]
    assert health.status == 200
    assert scene.state()["pool"]["total"] == "1000.00"
    assert scene.deposit("9").status == 201


def test_the_limits_hold_when_the_clock_of_a_worker_jumps(in_context, monkeypatch):
    limiter.open_room("P1")
    report = limiter.RunningReport("A1", "P1", "t", '{"agentId":"A1","task":"t","progress":"1","status":"RUNNING"')
    limiter.report([report])
    assert emitter.drain().emitted == {"agent:task_update": 1}
    real = time.time
    for jump in (3600, -3600):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        limiter.report([report])
        assert emitter.drain().emitted == {}


@pytest.mark.slow
def test_clients_resync_after_the_database_was_restored_from_an_older_copy(scene: Scene):
    stack = scene.stack
    database, older = stack.home / "dashboard.db", stack.folder / "older.db"
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
