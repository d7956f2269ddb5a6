"""Sends the commands of the rooms to the Redis servers that own their slots.

It replaces redis-py's RedisCluster, which takes a pooled connection for each command of a node, and uses its slot map.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import prometheus_client
import redis
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from app.core.redis_connection import check_version
from app.core.redis_multiplexer import RedisMultiplexer
from app.core.redis_topology import SLOTS, topology_of

logger = logging.getLogger(__name__)
ERRORS = prometheus_client.Counter(
    "dashboard_rooms_redis_errors_total", "Errors of the rooms' Redis; most commands are sent again", ["kind"]
)
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)  # seconds before each repetition in a cluster, with jitter
GIVEN_UP_SECONDS = 1.0


class GivenUpError(redis.ConnectionError):
    """The server failed a moment ago, so it is not asked."""


KINDS: dict[str, type[redis.RedisError]] = {  # the first that fits
    "given_up": GivenUpError,
    "moved": MovedError,
    "ask": AskError,
    "try_again": TryAgainError,
    "cluster_down": ClusterDownError,
    "read_only": redis.ReadOnlyError,
    "connection": redis.ConnectionError,
    "timeout": redis.TimeoutError,
}
OF_SERVER = frozenset(("cluster_down", "read_only", "connection", "timeout"))
FINAL = frozenset(("given_up", "timeout"))

Command = tuple[Any, ...]
SlotCall = tuple[int, Command]
Prepare = Callable[[Callable[..., Any], list[int]], None]


@dataclass(frozen=True)
class RedisNode:
    """A server that owns slots, and how many; `name` is `host:port`, or a Sentinel service."""

    name: str
    slots: int


class RedisNodes:
    """One multiplexed connection to each server that owns slots; may be called from any thread or greenlet.

    `prepare` is given the `call` of each new connection before anybody else uses it, and those of `slots` that its
    server owns. A command may run twice when a connection breaks: it must allow that.
    """

    def __init__(self, url: str, prepare: Prepare | None = None, slots: Sequence[int] = range(SLOTS)) -> None:
        self.topology = topology_of(url)
        self.is_cluster = self.topology.is_cluster  # then the keys of a command must be of one slot
        self._slots = slots
        self._prepare = prepare
        self._multiplexers: dict[str, RedisMultiplexer] = {}
        self._given_up: dict[str, float] = {}
        self._pauses = PAUSES if self.topology.is_cluster else PAUSES[:1]

    def call(self, slot: int, *command: Any) -> Any:
        """Send one command to the owner of `slot` and return its reply. Raises redis.RedisError."""
        try:
            return self._multiplexer(self.topology.owner(slot)).call(*command)
        except redis.RedisError as error:
            reply = self._repeat([(slot, command)], [error])[0]
        if isinstance(reply, redis.RedisError):
            raise reply
        return reply

    def execute(self, calls: Sequence[SlotCall]) -> list[Any]:
        """Send commands to the owners of their slots, those of one server in one round trip.

        Returns the replies in order; an error is a redis.RedisError in its place. Raises redis.ConnectionError if no
        server could be reached.
        """
        replies: list[Any] = [None] * len(calls)
        self._send(calls, dict.fromkeys(range(len(calls)), ""), replies)
        self._repeat(calls, replies)
        if calls and all(isinstance(reply, redis.ConnectionError) for reply in replies):
            raise replies[0]
        return replies

    def is_connected(self, slot: int) -> bool:
        """Whether there is a connection to the owner of `slot`, which no call has found broken. Asks nobody."""
        try:
            multiplexer = self._multiplexers.get(self.topology.owner(slot))
        except redis.RedisError:
            return False
        return multiplexer is not None and multiplexer.is_connected()

    def nodes(self) -> list[RedisNode]:
        """The servers that own slots. Raises redis.RedisError."""
        owners = self.topology.owners(range(SLOTS))
        return [RedisNode(name, len(slots)) for name, slots in sorted(owners.items())]

    def ping(self) -> None:
        """Raises the first error if no server that owns slots answers."""
        first_slots = [slots[0] for slots in self.topology.owners(range(SLOTS)).values()]
        replies = self.execute([(slot, ("PING",)) for slot in first_slots])
        errors = [reply for reply in replies if isinstance(reply, redis.RedisError)]
        if len(errors) == len(replies):
            raise errors[0] if errors else ClusterDownError("No server owns any slot.")

    def check_versions(self) -> dict[str, str]:
        """The version of each server that owns slots. Raises redis.RedisError, UnsuitableServerError among them."""
        clients = {node.name: self.topology.client(node.name) for node in self.nodes()}
        return {
            name: check_version(client.info("server"), is_cluster=self.topology.is_cluster)
            for name, client in clients.items()
        }

    def _multiplexer(self, name: str) -> RedisMultiplexer:
        if self._given_up and self._given_up.get(name, 0.0) > time.monotonic():
            raise GivenUpError(f"{name} failed a moment ago.")
        if (found := self._multiplexers.get(name)) is not None:
            return found
        made = RedisMultiplexer(lambda: self.topology.client(name), self._prepare and partial(self._prepare_node, name))
        return self._multiplexers.setdefault(name, made)

    def _prepare_node(self, name: str, call: Callable[..., Any]) -> None:
        if self._prepare is None:
            return
        try:
            self._prepare(call, self.topology.owners(self._slots).get(name, []))
        except (AskError, TryAgainError) as error:  # about a slot that no caller has asked for
            raise redis.ConnectionError(f"Slots of {name} have moved: {error}") from error

    def _send(self, calls: Sequence[SlotCall], targets: Mapping[int, str], replies: list[Any]) -> None:
        """Send the calls with these indexes; an empty target is the owner of the slot, another one gets ASKING."""
        by_node: dict[str, list[int]] = {}
        for index, target in targets.items():
            try:
                by_node.setdefault(target or self.topology.owner(calls[index][0]), []).append(index)
            except redis.RedisError as error:
                replies[index] = error
        sent = []
        for name, indexes in by_node.items():
            commands: list[Command] = []
            for index in indexes:
                commands += [("ASKING",), calls[index][1]] if targets[index] else [calls[index][1]]
            try:
                sent.append((indexes, self._multiplexer(name).send(commands)))
            except redis.RedisError as error:
                for index in indexes:
                    replies[index] = error
        for indexes, one in sent:  # only now wait, so that the servers work side by side
            received = iter(one.wait())
            for index in indexes:
                if targets[index]:
                    next(received)
                replies[index] = next(received)

    def _repeat(self, calls: Sequence[SlotCall], replies: list[Any]) -> list[Any]:
        """Send calls again whose error may pass, until none is left or the pauses are used up."""
        pauses = iter(self._pauses)
        while kinds := {index: kind for index, reply in enumerate(replies) if (kind := self._kind_of(reply))}:
            _log(kinds.values(), next(replies[index] for index in kinds))
            targets = self._redirect(calls, kinds, replies)
            pause = next(pauses, None)
            if pause is None or not targets:
                self._give_up(calls, kinds)
                break
            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter
            self._send(calls, targets, replies)
        return replies

    def _kind_of(self, reply: Any) -> str:
        """The kind of an error that concerns the connection or the slot; empty for any other reply."""
        if not isinstance(reply, redis.RedisError) or isinstance(reply, redis.AuthenticationError):
            return ""
        kind = next((kind for kind, error in KINDS.items() if isinstance(reply, error)), "")
        return kind if self.topology.is_cluster or kind == "connection" else ""

    def _redirect(self, calls: Sequence[SlotCall], kinds: Mapping[int, str], replies: list[Any]) -> dict[int, str]:
        """Where to send each call that may succeed now: a server that wants ASKING, or empty for the slot's owner."""
        targets = {index: "" for index, kind in kinds.items() if kind not in FINAL}
        try:
            if failed := [index for index, kind in kinds.items() if kind in OF_SERVER]:
                self.topology.refresh(self.topology.owner(calls[failed[0]][0]))
            for index, kind in kinds.items():
                if kind in ("moved", "ask"):
                    named = self.topology.redirect(replies[index])
                    targets[index] = named if kind == "ask" else ""
            self._close_unused()
        except redis.RedisError as error:
            logger.warning("rooms_redis.refresh_failed", extra={"error": str(error)})
        return targets

    def _give_up(self, calls: Sequence[SlotCall], kinds: Mapping[int, str]) -> None:
        """Ask servers that failed nothing for a second: a drain would wait for each call."""
        if not self.topology.is_cluster:
            return
        for index, kind in kinds.items():
            if kind in OF_SERVER:
                try:
                    name = self.topology.owner(calls[index][0])
                except redis.RedisError:
                    continue
                self._given_up[name] = time.monotonic() + GIVEN_UP_SECONDS

    def _close_unused(self) -> None:
        """Close the connections to servers that own none of our slots any more."""
        owners = self.topology.owners(self._slots)
        for name in [each for each in self._multiplexers if each not in owners]:
            if self._multiplexers[name].close_if_idle():
                del self._multiplexers[name]
                self._given_up.pop(name, None)


def show_zeros() -> None:
    """Initialize each counter to 0: Prometheus sees no increase in a counter that first appears as 1."""
    for kind in KINDS:
        ERRORS.labels(kind)


def _log(kinds: Iterable[str], example: redis.RedisError) -> None:
    counts = Counter(kinds)
    for kind, count in counts.items():
        ERRORS.labels(kind).inc(count)
    if counts.keys() == {"given_up"}:
        return  # the failures before were logged
    level = logging.WARNING if OF_SERVER & counts.keys() else logging.INFO
    logger.log(level, "rooms_redis.errors", extra={"kinds": dict(counts), "error": str(example)})
