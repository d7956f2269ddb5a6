"""Event types, and the message and envelope of every event (spec: Event Payload Format)."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from app.core.values import iso_timestamp


class EventType(StrEnum):
    AGENT_TASK_UPDATE = "agent:task_update"
    AGENT_TASK_UPDATES = "agent:task_updates"
    BOUNTY_POOL_UPDATED = "bounty_pool:updated"
    VULN_DISCOVERED = "vuln:discovered"
    VULN_STATUS_CHANGED = "vuln:status_changed"
    PAYMENT_STATUS_CHANGED = "payment:status_changed"


class RoomMessage(NamedTuple):
    """An event as the limiter publishes it on the channel of a room or of its batched view (lua/publish.lua)."""

    event_type: str
    seq: int
    envelope: bytes  # JSON

    def packet(self) -> bytes:
        """The Engine.IO message packet that holds the Socket.IO event."""
        return b'42["%b",%b]' % (self.event_type.encode(), self.envelope)


def read_message(view: str, message: bytes) -> RoomMessage:
    """Raises ValueError."""
    event_type, seq, milliseconds, data = message.split(b" ", 3)
    timestamp = iso_timestamp(datetime.fromtimestamp(int(milliseconds) / 1000, UTC))
    protocol_id = view.removeprefix("~")
    envelope = b'{"eventType":"%b","timestamp":"%b","protocolId":"%b","seq":"%b","data":%b}' % (
        event_type, timestamp.encode(), protocol_id.encode(), seq, data,
    )  # fmt: skip
    return RoomMessage(event_type.decode(), int(seq), envelope)
