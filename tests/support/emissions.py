"""Records every PUBLISH of the limiter through MONITOR, with the time by Redis's clock."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import redis

from app.core.values import iso_timestamp
from app.realtime.redis_keys import LAYOUT
from tests.support.event_checks import most_in_a_window
from tests.support.processes import until

PUBLISHED = re.compile(rf"SPUBLISH {LAYOUT}:{{\w+}}:room:(\S+) (\S+) (\d+) (\d+) (.*)", re.IGNORECASE | re.DOTALL)
MEMBER = re.compile(r'"(agentId|paymentId|task|progress|status|version)": ?"([^"]*)"')


@dataclass(frozen=True)
class Emission:
    """One published event. `at`: seconds by Redis's clock; `members`: the members of the event that tests need;

    `received_at`: seconds by the machine's clock when MONITOR reported it.
    """

    at: float
    protocol_id: str
    members: dict[str, str]
    received_at: float = 0.0

    @property
    def seq(self) -> int:
        return int(self.members["seq"])


@dataclass
class Emissions:
    seen: list[Emission] = field(default_factory=list)

    def of(self, protocol_id: str) -> list[Emission]:
        return [each for each in list(self.seen) if each.protocol_id == protocol_id]

    def wait_for(self, protocol_id: str, count: int, seconds: float) -> list[Emission]:
        until(lambda: len(self.of(protocol_id)) >= count, seconds, f"{count} events are published to {protocol_id}")
        return self.of(protocol_id)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        until(condition, seconds, f"the published events match; they are {self.seen[-30:]}")

    def most_a_second(self, protocol_id: str) -> int:
        """The largest number of events published to the room in any window of one second."""
        return most_in_a_window([each.at for each in self.of(protocol_id)])


@contextmanager
def watch_emissions(client: "redis.Redis[bytes]") -> Iterator[Emissions]:
    """Record published events while the `with` block runs."""
    found = Emissions()
    monitor = client.monitor()
    with monitor:
        reader = threading.Thread(target=_read, args=(monitor, found.seen), daemon=True)
        reader.start()
        try:
            yield found
        finally:
            monitor.connection.disconnect()
    reader.join(5)


@contextmanager
def watch_emissions_over_restarts(connect: Callable[[], "redis.Redis[bytes]"]) -> Iterator[Emissions]:
    """As `watch_emissions`, but reconnects when Redis restarts; events published meanwhile are missed."""
    with watch_emissions_of_all([connect]) as found:
        yield found


@contextmanager
def watch_emissions_of_all(servers: Sequence[Callable[[], "redis.Redis[bytes]"]]) -> Iterator[Emissions]:
    """As `watch_emissions_over_restarts`, of several servers; more may be added to the list meanwhile."""
    found, ends = Emissions(), threading.Event()

    def watch_all() -> None:
        watched = 0
        while not ends.wait(0.02):
            for connect in servers[watched:]:
                threading.Thread(target=watch, args=(connect,), daemon=True).start()
                watched += 1

    def watch(connect: Callable[[], "redis.Redis[bytes]"]) -> None:
        while not ends.wait(0.05):
            try:
                with connect().monitor() as monitor:
                    _read(monitor, found.seen)
            except (redis.RedisError, OSError):
                continue  # Redis is not back yet

    threading.Thread(target=watch_all, daemon=True).start()
    try:
        yield found
    finally:
        ends.set()


def _read(monitor: "redis.client.Monitor", seen: list[Emission]) -> None:
    try:
        for command in monitor.listen():
            published = PUBLISHED.match(command["command"])
            if published and command["client_type"] == "lua":  # what a replica repeats does not come from a script
                view, event_type, seq, milliseconds, data = published.groups()
                timestamp = iso_timestamp(datetime.fromtimestamp(int(milliseconds) / 1000, UTC))
                head = {"eventType": event_type, "seq": seq, "timestamp": timestamp}
                members = head | dict(reversed(MEMBER.findall(data)))
                seen.append(Emission(command["time"], view, members, time.time()))
    except (redis.RedisError, OSError, ValueError, AttributeError):
        return  # the `with` block has ended
