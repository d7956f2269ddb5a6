"""Scenario: Event with standard fields."""

import pytest

from tests.scenarios.every_event import RoomEvents
from tests.support.event_checks import moment
from tests.support.js_client import Event

FIELDS = {"eventType", "timestamp", "protocolId", "seq", "data"}


@pytest.fixture
def events(every_event: list[RoomEvents]) -> list[Event]:
    return every_event[0].events


def test_every_event_is_one_object_with_event_type_timestamp_and_data(events: list[Event]) -> None:
    for event in events:
        assert len(event.args) == 1
        assert set(event.payload) == FIELDS
        assert event.payload["eventType"] == event.name
        assert isinstance(event.data, dict)


def test_the_timestamp_is_the_time_of_the_event(events: list[Event]) -> None:
    for event in events:
        at = moment(event.payload["timestamp"]).timestamp()
        assert event.at - 60 < at <= event.at + 0.05


def test_seq_numbers_the_events_of_a_room_from_1_without_gaps(events: list[Event]) -> None:
    assert [event.payload["seq"] for event in events] == [str(n + 1) for n in range(len(events))]
