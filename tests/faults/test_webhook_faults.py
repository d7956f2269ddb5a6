"""Webhooks of a running system whose parts are killed and whose endpoints misbehave.

`WEBHOOK_EVENTS`, `WEBHOOK_RATE` and `WEBHOOK_PROTOCOLS` change the long run, `make webhook-load`: 10,000 events at 50 a
second for 20 endpoints; in fewer protocols each event goes to more of the endpoints.
"""

import os
import random
import threading

import pytest

from tests.faults.webhook_load import WebhookLoad, describe, percentile
from tests.support.machine_speed import slowdown
from tests.support.processes import until
from tests.support.stack import Stack, StackMaker
from tests.support.webhook_receiver import OK, drip, hang, status, webhook_receiver

EVENTS = int(os.environ.get("WEBHOOK_EVENTS", "10000"))
RATE = float(os.environ.get("WEBHOOK_RATE", "50"))
PROTOCOLS = int(os.environ.get("WEBHOOK_PROTOCOLS", "20"))
ENDPOINTS = 20
BAD = {
    "hangs": (hang,),
    "fails-twice": (status(500), status(500), OK),
    "gone": (status(410),),
    "drips": (drip,),
    "redirects": (status(302, "Location: http://127.0.0.1:1/"),),
}
KILLED = ["worker-webhooks", "web-1", "beat", "redis", "worker-webhooks"]


@pytest.mark.slow
def test_whatever_is_killed_every_event_arrives_with_one_id(make_stack: StackMaker) -> None:
    good = {f"good-{number}": (OK,) for number in range(4)}
    with webhook_receiver() as receiver:
        load = WebhookLoad(make_stack(), receiver)
        load.make_webhooks(2, good | BAD)
        killer = threading.Thread(target=kill_in_turn, args=(load.stack, 2.5))
        killer.start()
        load.store(events=150, rate=12)
        killer.join()
        until(lambda: not any(map(load.missing, [*good, "fails-twice"])), 60, "every event arrives", pause=0.5)
        load.check_ids()
        print(describe(load, list(good)))


def kill_in_turn(stack: Stack, pause: float) -> None:
    for part in KILLED:
        threading.Event().wait(random.uniform(0.5, 1.5) * pause)
        stack.kill(part)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_bad_endpoints_delay_no_other(make_stack: StackMaker) -> None:
    good = {f"good-{number}": (OK,) for number in range(ENDPOINTS - len(BAD))}
    with webhook_receiver() as receiver:
        load = WebhookLoad(make_stack(), receiver)
        load.make_webhooks(PROTOCOLS, good | BAD)
        load.store(EVENTS, RATE)
        until(lambda: not any(map(load.missing, [*good, "fails-twice"])), 120, "every event arrives", pause=2.0)
        load.check_ids()
        print(describe(load, list(good)))

        assert max(percentile(load.latencies(name), 99) for name in good) < 2.0 * slowdown()
        assert len(receiver.of("gone")) <= 8
