"""Scenario: Event serialization."""

import re

import pytest

from tests.factories import deposit, report
from tests.scenarios.every_event import RoomEvents
from tests.support.event_checks import leaves, moment
from tests.support.stack import Stack

DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]")


def test_no_event_holds_a_json_number_at_any_depth(every_event: list[RoomEvents]) -> None:
    for event in every_event[0].events:
        for leaf in leaves(event.payload):
            assert leaf is None or isinstance(leaf, str), f"{leaf!r} in {event}"


def test_every_date_is_iso_8601_in_utc_with_milliseconds(every_event: list[RoomEvents]) -> None:
    events = every_event[0].events

    dates = [leaf for event in events for leaf in leaves(event.payload) if leaf and DATE.match(leaf)]
    assert len(dates) > len(events)
    for date in dates:
        moment(date)
    estimates = {event.data["estimatedCompletion"] for event in events if event.name == "agent:task_update"}
    assert estimates == {None, "2031-05-06T01:38:09.123Z"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("0.000001", "0.000001"),
        ("999999999999.999999", "999999999999.999999"),
        ("1000", "1000.00"),
        ("1000.10", "1000.10"),
        ("0.100000", "0.10"),
        ("9007199254.740993", "9007199254.740993"),
    ],
)
def test_an_amount_arrives_exactly(given, sent, stack: Stack, viewer, protocol_id) -> None:
    deposit(stack.api, protocol_id, given)
    data = viewer.wait_for_event("bounty_pool:updated").data
    assert (data["amount"], data["total"], data["available"]) == (sent, sent, sent)


@pytest.mark.parametrize(("given", "sent"), [(0, "0"), (100, "100"), (33.3, "33.3"), (7.0, "7"), (1e1, "10")])
def test_progress_arrives_as_a_decimal_string(given, sent, *, stack: Stack, viewer, protocol_id, agent_id) -> None:
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, progress=given)).expect(202)
    assert viewer.wait_for_event("agent:task_update").data["progress"] == sent


@pytest.mark.parametrize(
    "text",
    [
        'quote " backslash \\ slash /',
        "@seq@ @data@ @protocol@ %s %d",
        "дракон 🐉 \u2028",
        "line\nbreak\ttab",
        "</script>",
    ],
)
def test_any_text_arrives_unchanged(text: str, stack: Stack, viewer, protocol_id, agent_id) -> None:
    task = " ".join(text.split())  # a name is one line
    body = report(protocol_id, task, status="FAILED", error={"code": text[:60], "message": text})
    stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)

    data = viewer.wait_for_event("agent:task_update").data

    assert (data["task"], data["error"]) == (task, {"code": text[:60], "message": text})
