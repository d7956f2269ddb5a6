"""The rules of webhooks: statuses, delivered events, and which webhook an event matches. Pure: imports no framework."""

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from app.realtime.events import EventType

MAX_WEBHOOKS = 20  # of a protocol
MAX_PENDING = 100_000  # deliveries of a webhook; with more it is disabled
MAX_PENDING_TESTS = 20
SECRET_BYTES = 24
SECRET_OVERLAP_SECONDS = 24 * 3600.0
ALL_EVENTS = "*"
TEST_EVENT = "webhook:test"
DELIVERED_EVENTS = (
    EventType.BOUNTY_POOL_UPDATED,
    EventType.VULN_DISCOVERED,
    EventType.VULN_STATUS_CHANGED,
    EventType.PAYMENT_STATUS_CHANGED,
    EventType.AGENT_TASK_UPDATE,
)
_WITH_SEVERITY = {EventType.VULN_DISCOVERED.value, EventType.VULN_STATUS_CHANGED.value}
_TERMINAL = {"COMPLETED", "FAILED"}


class WebhookStatus(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"  # told to nobody; the retention deletes its deliveries, then the row


class DisableCause(StrEnum):
    """Why a webhook was disabled, for the metric; the webhook's own reason is a sentence."""

    OWNER = "owner"
    GONE = "gone"  # the endpoint answered 410
    FAILING = "failing"
    BACKLOG = "backlog"
    SECRET = "secret"  # noqa: S105 - a cause, not a secret: no configured key can decrypt it


class DeliveryStatus(StrEnum):
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


def is_delivered(event_type: str, data: dict[str, Any]) -> bool:
    """Whether webhooks are told of a stored event: of an agent's task only that it ended."""
    if event_type == EventType.AGENT_TASK_UPDATE:
        return data["status"] in _TERMINAL
    return event_type in DELIVERED_EVENTS


def matches(event_types: Collection[str], severities: Collection[str] | None, event_type: str, data: Any) -> bool:
    """Whether a webhook with these filters wants a delivered event; severities filter vulnerability events alone."""
    if ALL_EVENTS not in event_types and event_type not in event_types:
        return False
    return not severities or event_type not in _WITH_SEVERITY or data["severity"] in severities


def body_of(event_type: str, timestamp: str, protocol_id: str, data_json: str) -> str:
    """The body of a delivery. Type, time and id hold no character that JSON escapes."""
    return f'{{"type":"{event_type}","timestamp":"{timestamp}","protocolId":"{protocol_id}","data":{data_json}}}'
