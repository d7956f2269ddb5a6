"""Fixtures of the scenario tests."""

from collections.abc import Iterator

import pytest

from tests.factories import make_protocol
from tests.scenarios.every_event import RoomEvents, emit_every_event
from tests.support.js_client import JsClient, JsSocket
from tests.support.stack import Stack


@pytest.fixture
def viewer(stack: Stack, js: JsClient, protocol_id: str) -> JsSocket:
    """A connected viewer in the protocol's room."""
    return stack.watch(js, protocol_id)


@pytest.fixture(scope="session")
def every_event(stack: Stack) -> Iterator[list[RoomEvents]]:
    """All events of two protocols, one of them with an id that uses every allowed character."""
    client = JsClient()
    rooms = [make_protocol(stack.api), make_protocol(stack.api, id="0.protocol:seq_data-" + "x" * 44)]
    yield [RoomEvents(room, emit_every_event(stack, client, room)) for room in rooms]
    client.close()
