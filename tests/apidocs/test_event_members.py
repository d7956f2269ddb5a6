"""Every member that the contract promises for an event is required by its documented schema."""

from typing import Any

import pytest

from app.apidocs import asyncapi
from tests.support import documents

PROMISED = {
    "agent:task_update": (
        "agentId", "task", "progress", "status", "estimatedCompletion", "error", "nextTask", "version",
    ),
    "bounty_pool:updated": (
        "changeType", "amount", "total", "available", "reserved", "paid", "currency", "version",
    ),
    "vuln:discovered": (
        "vulnerabilityId", "title", "severity", "status", "bounty", "agentId", "version", "createdAt",
    ),
    "payment:status_changed": (
        "paymentId", "vulnerabilityId", "oldStatus", "newStatus", "amount", "currency", "failureReason", "attempts",
        "version", "changedAt",
    ),
    "vuln:status_changed": ("vulnerabilityId", "oldStatus", "newStatus", "severity", "version", "changedAt"),
}  # fmt: skip
MEMBERS = [(event_type, member) for event_type, members in PROMISED.items() for member in members]


@pytest.fixture(scope="module")
def examples() -> dict[str, dict[str, Any]]:
    """An example of each event by its type."""
    messages = asyncapi.document()["components"]["messages"].values()
    return {each["name"]: each["examples"][0]["payload"] for each in messages if each.get("examples")}


@pytest.mark.parametrize(("event_type", "member"), MEMBERS)
def test_data_without_a_promised_member_is_not_as_documented(examples, event_type: str, member: str) -> None:
    event = examples[event_type]
    incomplete = {name: value for name, value in event["data"].items() if name != member}

    with pytest.raises(documents.NotAsDocumentedError):
        documents.validate_event(event | {"data": incomplete})


@pytest.mark.parametrize("event_type", PROMISED)
@pytest.mark.parametrize("member", ["eventType", "timestamp", "protocolId", "seq", "data"])
def test_an_event_without_a_member_of_its_envelope_is_not_as_documented(examples, event_type: str, member: str) -> None:
    event = {name: value for name, value in examples[event_type].items() if name != member}

    with pytest.raises(documents.NotAsDocumentedError):
        documents.validate_event(event)
