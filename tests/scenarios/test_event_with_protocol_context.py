"""Scenario: Event with protocol context."""

from tests.factories import make_protocol
from tests.scenarios.every_event import emit_every_event
from tests.support.js_client import JsClient
from tests.support.stack import Stack


def test_every_event_names_its_protocol(stack: Stack, js: JsClient, protocol_id: str) -> None:
    other = make_protocol(stack.api)

    for wanted in (protocol_id, other):
        events = emit_every_event(stack, js, wanted)
        assert {event.payload["protocolId"] for event in events} == {wanted}


def test_an_id_with_every_allowed_character_arrives_unchanged(stack: Stack, js: JsClient) -> None:
    wanted = make_protocol(stack.api, id="0.protocol:seq_data-" + "x" * 44)
    events = emit_every_event(stack, js, wanted)
    assert {event.payload["protocolId"] for event in events} == {wanted}
