"""Repeats an episode on a real Valkey beside the simulated servers, and compares every reply and message.

Each simulated server has a database of the real one. There `TIME` in the scripts reads a key, and a key that expires by
this clock is deleted.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from tests.simulation.episode import Episode, application
from tests.simulation.lua_server import LuaServer, Reply
from tests.simulation.steps import Step, shape_of, steps_of
from tests.simulation.world import Mismatch
from tests.support.servers import start_valkey, stop_server

FROZEN_KEY = "simulation:clock"
FROZEN_CLOCK = f"(function() local t = redis.call('GET', '{FROZEN_KEY}') return {{t:sub(1, -7), t:sub(-6)}} end)()"
MAX_LISTENERS, MAX_MESSAGES, MESSAGE_SECONDS = 2, 1000, 5.0
WRITERS: dict[str, Callable[[str, Any], tuple[Any, ...]]] = {
    "string": lambda name, value: ("SET", name, value),
    "list": lambda name, value: ("RPUSH", name, *value),
    "hash": lambda name, value: ("HSET", name, *(part for pair in value.items() for part in pair)),
    "zset": lambda name, value: ("ZADD", name, *(part for member, at in value.items() for part in (at, member))),
}


class MirroredServer(LuaServer):
    """A simulated server that does everything on a real one, too."""

    def __init__(self, client: "redis.Redis[bytes]") -> None:
        super().__init__()
        client.flushdb()
        client.response_callbacks.clear()
        self._client = client
        self._listeners = [client.pubsub() for _ in range(MAX_LISTENERS)]
        self._counts: dict[str, int] = {}  # listeners by channel
        self._shas: dict[str, str] = {}

    def execute(self, wall: int, command: tuple[Any, ...]) -> Reply:
        self._client.execute_command("SET", FROZEN_KEY, wall)
        super().execute(wall, ("PING",))  # sets the clock
        self._forget_expired()
        reply = super().execute(wall, command)
        if command[0] == "SCRIPT":
            loaded = self._client.execute_command(
                "SCRIPT", "LOAD", command[2].replace("redis.call('TIME')", FROZEN_CLOCK)
            )
            self._shas[reply.text] = loaded.decode()
        elif command[0] not in ("INFO", "PING", "TIME"):
            self._compare(command, reply)
        return reply

    def contents(self) -> dict[str, tuple[str, Any]]:
        self._forget_expired()
        return super().contents()

    def _forget_expired(self) -> None:
        """Before anything reads a key: the simulated server drops one that has expired when it is read."""
        if expired := self.expired():
            self._client.execute_command("DEL", *expired)

    def _compare(self, command: tuple[Any, ...], reply: Reply) -> None:
        if isinstance(reply.value, redis.exceptions.NoScriptError):
            return
        if command[0] == "EVALSHA":
            command = (command[0], self._shas[command[1]], *command[2:])
        answer = self._client.execute_command(*command)
        if _ordered(answer) != _ordered(reply.value):
            raise Mismatch(f"{command[:2]}: simulated is {reply.value}, Valkey answers {answer}")
        for wanted in [each for each in reply.published if self._counts.get(each[0])]:
            message = self._await(self._listeners[0], "smessage")
            found = [message["channel"].decode(), message["data"].decode()]
            if found != wanted:
                raise Mismatch(f"simulated is the message {wanted}, Valkey sends {found}")

    def listen(self, channel: str, count: int) -> None:
        super().listen(channel, count)
        before = self._counts.get(channel, 0)
        self._counts[channel] = count
        for number in range(min(before, count), max(before, count)):
            listener = self._listeners[number]
            (listener.ssubscribe if number < count else listener.sunsubscribe)(channel)
            self._await(listener, "ssubscribe", "sunsubscribe")

    @staticmethod
    def _await(listener: Any, *kinds: str) -> Any:
        """The next message of these kinds."""
        for _ in range(MAX_MESSAGES):
            message = listener.get_message(timeout=MESSAGE_SECONDS)
            if message is not None and message["type"] in kinds:
                return message
        raise Mismatch(f"Valkey sends no {kinds}")

    def restore(self, memory: Any) -> None:
        super().restore(memory)
        self._client.execute_command("FLUSHDB")
        for name, (kind, value) in self.contents().items():
            self._client.execute_command(*WRITERS[kind](name, value))

    def compare(self) -> None:
        """Everything that both hold."""
        for name, (kind, value) in self.contents().items():
            if self._client.execute_command("TYPE", name).decode() != kind:
                raise Mismatch(f"Valkey does not hold {name}: {value}")
        size = self._client.execute_command("DBSIZE") - 1
        if size != len(self.contents()):
            raise Mismatch(f"Valkey holds {size} keys, simulated are {len(self.contents())}")


def _ordered(reply: Any) -> Any:
    """With the counts by event type in order, which Lua's tables do not have."""
    if not isinstance(reply, list):
        return reply
    return [sorted(each, key=repr) if isinstance(each, list) else each for each in reply]


def run_mirrored(connect: Callable[[int], "redis.Redis[bytes]"], seed: str, steps: list[Step]) -> None:
    """Run these steps on simulated servers and on the real databases. Raises Mismatch."""
    numbers = iter(range(1, 10))
    with application() as use:
        episode = Episode(shape_of(seed), make_server=lambda: MirroredServer(connect(next(numbers))))
        use(episode)
        episode.run(steps)
        for server in episode.world.servers:
            server.redis.compare()  # type: ignore[attr-defined]


def replay(seed: str) -> int:
    """Repeat an episode on a Valkey of its own; 1 if it fails."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        server = start_valkey(Path(folder))
        try:
            run_mirrored(server.client, seed, steps_of(seed))
        except Mismatch as problem:
            print(f"{seed} fails: {problem}")
            return 1
        finally:
            stop_server(server)
    print(f"{seed} passes, on the simulated servers and on Valkey")
    return 0
