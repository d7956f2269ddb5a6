"""Scenario: Event with protocol context."""

from tests.scenarios.every_event import RoomEvents


def test_every_event_has_the_protocol_id_of_its_room_unchanged(every_event: list[RoomEvents]) -> None:
    for room in every_event:
        assert {event.payload["protocolId"] for event in room.events} == {room.protocol_id}
