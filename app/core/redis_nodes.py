"""The Redis servers of the rooms: a command goes to the server that owns its slot.

A standalone server or a Sentinel group owns all slots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from app.core.redis_connection import connect_redis
from app.core.redis_multiplexer import RedisMultiplexer

SLOTS = 16_384

SlotCall = tuple[int, tuple[Any, ...]]
Prepare = Callable[[Callable[..., Any], list[int]], None]


@dataclass(frozen=True)
class RedisNode:
    """A server that owns slots."""

    name: str  # host:port
    slots: int


class RedisNodes:
    """One multiplexed connection to each server; may be called from any thread or greenlet.

    `prepare` is given the `call` of each new connection before anybody else uses it, and those of `slots` that its
    server owns.
    """

    def __init__(self, url: str, prepare: Prepare | None = None, slots: Sequence[int] = range(SLOTS)) -> None:
        self._client = connect_redis(url)
        own = list(slots)
        self._only = RedisMultiplexer(lambda: self._client, prepare and (lambda call: prepare(call, own)))

    def call(self, slot: int, *command: Any) -> Any:  # noqa: ARG002
        """Send one command to the owner of `slot` and return its reply. Raises redis.RedisError."""
        return self._only.call(*command)

    def execute(self, calls: Sequence[SlotCall]) -> list[Any]:
        """Send commands to the owners of their slots, those of one server in one round trip.

        Returns the replies in order; an error is a redis.RedisError in its place. Raises redis.RedisError only if no
        server could be reached.
        """
        sent = self._only.send([command for _, command in calls])
        try:
            return sent.wait()
        except redis.RedisError as error:
            return [error] * len(calls)

    def nodes(self) -> list[RedisNode]:
        options = self._client.connection_pool.connection_kwargs
        return [RedisNode(f"{options.get('host')}:{options.get('port')}", SLOTS)]
