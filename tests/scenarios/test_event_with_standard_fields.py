"""Scenario: Event with standard fields."""

import time

import pytest

from tests.scenarios.every_event import emit_every_event
from tests.support.event_checks import moment
from tests.support.js_client import Event, JsClient
from tests.support.stack import Stack

FIELDS = {"eventType", "timestamp", "protocolId", "seq", "data"}


@pytest.fixture
def events(stack: Stack, js: JsClient, protocol_id: str) -> list[Event]:
    return emit_every_event(stack, js, protocol_id)


def test_every_event_is_one_object_with_event_type_timestamp_and_data(events: list[Event]) -> None:
    for event in events:
        assert len(event.args) == 1
        assert set(event.payload) == FIELDS
        assert event.payload["eventType"] == event.name
        assert isinstance(event.data, dict)


def test_the_timestamp_is_the_moment_of_the_event(events: list[Event]) -> None:
    for event in events:
        assert abs(moment(event.payload["timestamp"]).timestamp() - time.time()) < 60
        assert moment(event.payload["timestamp"]).timestamp() <= event.at + 0.05


def test_seq_counts_a_rooms_events_from_1_without_gaps(events: list[Event]) -> None:
    assert [event.payload["seq"] for event in events] == [str(n + 1) for n in range(len(events))]
