"""Lost broker messages, hung workers, clock jumps and a locked database."""

import os
import signal
import sqlite3
import time

from app.realtime import emitter, limiter
from tests.factories import file_vulnerability
from tests.support.processes import until


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
