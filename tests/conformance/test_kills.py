"""Clients of both packages and transports equal `/state` after random kills; ten minutes of it: `make client-kills`."""

import pytest

from clients.conformance import drivers
from clients.conformance.kills import run
from tests.support.stack import StackMaker

SECONDS, KILL_EVERY_SECONDS = 12, 3


@pytest.mark.slow
def test_after_random_kills_each_client_equals_the_state_and_no_end_of_a_task_is_lost(make_stack: StackMaker) -> None:
    commands = [make() for make in drivers.OWN.values()]
    result = run(make_stack(webs=2), commands, seconds=SECONDS, kill_every=KILL_EVERY_SECONDS, rooms=1, clients=1)
    assert result.faults == []
    assert sum(result.figures["kills"].values()) > 1
    assert result.figures["tasks ended by packages"] > 1
    assert result.figures["changes accepted"]
