"""Reads the channel of one room in Redis, as a web process does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import redis

from app.realtime.events import read_message
from app.realtime.redis_keys import channel_of, view_of
from tests.support.processes import until


@dataclass
class RoomReader:
    """A subscription to one room or its batched view; `events` are the published JSON objects, in order."""

    pubsub: Any
    events: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> list[dict[str, Any]]:
        """All events published so far."""
        while (message := self.pubsub.get_message(timeout=0.02)) is not None:
            if message["type"] == "smessage":
                view = view_of(message["channel"].decode())
                self.events.append(json.loads(read_message(view, message["data"]).envelope))
        return self.events

    def wait_for(self, count: int, seconds: float = 20) -> list[dict[str, Any]]:
        until(lambda: len(self.read()) >= count, seconds, f"{count} events are published")
        return self.events


@contextmanager
def reading(client: "redis.Redis[bytes]", protocol_id: str) -> Iterator[RoomReader]:
    """Subscribe to a room while the `with` block runs."""
    with client.pubsub() as pubsub:
        pubsub.ssubscribe(channel_of(protocol_id))
        until(lambda: pubsub.get_message(timeout=0.1) is not None, 5, "subscribed")
        yield RoomReader(pubsub)


def seconds_of(timestamp: str) -> float:
    """An event's timestamp as Unix seconds."""
    return datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
