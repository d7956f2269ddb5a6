"""Event types, and the envelope of every event (spec: Event Payload Format)."""

from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    AGENT_TASK_UPDATE = "agent:task_update"
    AGENT_TASK_UPDATES = "agent:task_updates"
    BOUNTY_POOL_UPDATED = "bounty_pool:updated"
    VULN_DISCOVERED = "vuln:discovered"
    VULN_STATUS_CHANGED = "vuln:status_changed"
    PAYMENT_STATUS_CHANGED = "payment:status_changed"


def envelope(event_type: str, *, timestamp: str, protocol_id: str, seq: str, data: Any) -> dict[str, Any]:
    return {"eventType": event_type, "timestamp": timestamp, "protocolId": protocol_id, "seq": seq, "data": data}
