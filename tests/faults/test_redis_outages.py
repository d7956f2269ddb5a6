"""Redis hung, disconnected or emptied: what callers receive, and that every client recovers."""

import signal
import time

import pytest

from tests.support.processes import until

OUTAGE_SECONDS = 30


def _wait_until_reports_are_accepted(scene):
    def reports():
        return scene.report(50).status == 202

    until(reports, 40, "reports are accepted again", pause=0.2)


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
