"""What a pub/sub connection makes of the replies of Redis."""

import warnings
from typing import Any

import pytest
import redis
from redis.crc import key_slot

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from app.realtime.fanout.pubsub_connection import PubSubServer


class Owner:
    """Records what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def open(self, server: PubSubServer) -> Any:
        raise NotImplementedError

    def handle_batch(self, batch: list[tuple[str, bytes]]) -> None:
        self.told.append(("batch", batch))

    def handle_confirmed(self, server: PubSubServer, channels: list[str]) -> None:
        self.told.append(("confirmed", channels))

    def handle_end(self, server: PubSubServer, slot: int) -> None:
        self.told.append(("end", slot))

    def handle_error(self, server: PubSubServer, error: redis.RedisError) -> None:
        self.told.append(("error", error))

    def handle_loss(self, server: PubSubServer, error: Exception) -> None:
        raise NotImplementedError


CONFIRMED, ENDED = [b"ssubscribe", b"room", 1], [b"sunsubscribe", b"room", 0]
MOVED = redis.exceptions.MovedError("7 127.0.0.1:1")
CASES: list[tuple[int, list[Any], list[tuple[str, Any]]]] = [
    (0, [b"PONG", [b"pong", b""]], []),
    (0, [[b"smessage", b"a", b"1"], [b"message", b"control", b"2"]], [("batch", [("a", b"1"), ("control", b"2")])]),
    (0, [CONFIRMED], [("confirmed", ["room"])]),
    (0, [ENDED], [("end", key_slot(b"room"))]),
    (1, [ENDED], []),
    (1, [ENDED, CONFIRMED], [("confirmed", ["room"])]),
    (1, [CONFIRMED, ENDED], []),
    (1, [ENDED, ENDED], [("end", key_slot(b"room"))]),
    (0, [MOVED, CONFIRMED], [("error", MOVED), ("confirmed", ["room"])]),
]  # fmt: skip


@pytest.mark.parametrize(("leaving", "replies", "told"), CASES)
def test_only_what_was_not_asked_for_ends_a_subscription(
    leaving: int, replies: list[Any], told: list[tuple[str, Any]]
) -> None:
    server, owner = PubSubServer("127.0.0.1:1"), Owner()
    server.leaving["room"] = leaving
    server._pass_on(replies, owner)
    assert owner.told == told
    assert not server.leaving
