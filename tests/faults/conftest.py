"""Fixtures of the fault tests: a system to break, and a room with an agent and reference clients."""

from collections.abc import Iterator

import pytest

from tests.factories import deposit, make_agent, make_protocol
from tests.support.rooms import Rooms
from tests.support.stack import Stack

CLIENTS = 5


class Scene:
    """A funded protocol, an agent and connected clients in a system that the test breaks."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.protocol_id = make_protocol(stack.api)
        self.agent_id = make_agent(stack.api)
        deposit(stack.api, self.protocol_id, "1000")
        self.rooms = Rooms(stack, {self.protocol_id: CLIENTS})
        self.rooms.wait_until_live()

    def report(self, progress: int, **fields: object):
        body = {"protocolId": self.protocol_id, "task": "scan", "progress": progress} | fields
        return self.stack.api.agent(self.agent_id).post(f"/agents/{self.agent_id}/progress", body)

    def deposit(self, amount: str):
        return self.stack.api.owner.post(f"/protocols/{self.protocol_id}/deposits", {"amount": amount})

    def state(self):
        return self.stack.api.admin.get(f"/protocols/{self.protocol_id}/state").expect(200)

    def agent(self):
        return self.stack.api.admin.get(f"/agents/{self.agent_id}").expect(200)


@pytest.fixture(scope="module")
def broken_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system that the tests of one file break in turn; each must leave it working."""
    with Stack(tmp_path_factory.mktemp("broken-stack")) as stack:
        yield stack


@pytest.fixture
def scene(broken_stack: Stack) -> Iterator[Scene]:
    broken_stack.wait_until_open(40)
    made = Scene(broken_stack)
    with made.rooms:
        yield made
