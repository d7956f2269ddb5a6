"""Redis gone, silent, cut off or without memory: what callers are told, what is logged, and that clients heal."""

import signal
import time

import pytest

from tests.support.processes import until

OUTAGE_SECONDS = 30


def _is_back(scene):
    def reports():
        return scene.report(50).status == 202

    until(reports, 40, "reports are accepted again", pause=0.2)


@pytest.mark.slow
def test_while_redis_is_silent_for_30_s_money_is_taken_progress_is_refused_and_all_heals_after(scene):
    scene.report(10).expect(202)
    scene.stack.freeze("redis")
    began = time.monotonic()

    refused = scene.report(20)
    taken = scene.deposit("3")

    assert (refused.status, refused.code) == (503, "REDIS_UNAVAILABLE")
    assert refused.headers["retry-after"]
    assert taken.status == 201
    until(lambda: time.monotonic() - began > OUTAGE_SECONDS, OUTAGE_SECONDS + 5, "the outage has lasted")
    scene.stack.signal("redis", signal.SIGCONT)
    _is_back(scene)
    scene.rooms.wait_until_right(60)
    assert scene.state()["pool"]["total"] == "1003.00"


def test_a_failed_emission_is_logged_with_the_whole_event_and_made_good(scene):
    scene.stack.freeze("redis")
    scene.deposit("3").expect(201)
    line = scene.stack.wait_for_log(f"event.emission_failed .*{scene.protocol_id}", 20)
    scene.stack.thaw("redis")

    assert '"changeType":"DEPOSIT"' in line
    assert '"amount":"3.00"' in line
    scene.rooms.wait_until_right(40)


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
def test_cut_connections_are_made_anew_and_what_was_missed_meanwhile_is_noticed(scene, kind):
    for amount in range(1, 6):
        scene.stack.redis().client_kill_filter(_type=kind, skipme=True)
        scene.deposit(str(amount)).expect(201)

    scene.rooms.wait_until_right(40)
    assert scene.state()["pool"]["total"] == "1015.00"


def test_a_redis_that_lost_its_memory_goes_on_with_higher_numbers_and_clients_resync(scene):
    scene.report(10).expect(202)
    scene.report(100, status="COMPLETED", nextTask="prove").expect(202)
    before = int(scene.state()["seq"])

    scene.stack.redis().flushall()  # what an empty disk after a restart amounts to
    scene.stack.redis().client_kill_filter(_type="pubsub")

    _is_back(scene)
    scene.deposit("2").expect(201)
    assert int(scene.state()["seq"]) > before
    scene.rooms.wait_until_right(60)
