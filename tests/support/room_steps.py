"""Runs random operations on the room scripts and on their reference model, and compares replies, messages and keys."""

import random
from collections import Counter
from typing import Any

import redis

from app.realtime import scripts
from app.realtime.events import EventType
from app.realtime.limiter import _pack, message_template, room_args
from app.realtime.redis_keys import CHANNEL_PREFIX
from tests.support.agent_model import LAG, MAX_PAUSE, PACING, TOLERANCE, WINDOW
from tests.support.redis_clock import FROZEN_KEY, frozen
from tests.support.room_model import AGENT_INTERVAL, Model

EVENTS = (EventType.BOUNTY_POOL_UPDATED, EventType.VULN_STATUS_CHANGED)
STATUSES = (("terminal", "COMPLETED"), ("terminal", "FAILED"), ("running", "RUNNING"))
PAUSES = (1, 1000, 50_000, PACING, 3 * PACING, 1_000_000, AGENT_INTERVAL, WINDOW, MAX_PAUSE, MAX_PAUSE + 1, 5_000_000)
CLOCK_STEPS = (-1_000_000, -40_000_000, -1, TOLERANCE, TOLERANCE + 1, 40_000_000)
READERS = {
    b"string": lambda client, key: client.get(key).decode(),
    b"list": lambda client, key: [each.decode() for each in client.lrange(key, 0, -1)],
    b"hash": lambda client, key: {name.decode(): text.decode() for name, text in client.hgetall(key).items() if name},
    b"zset": lambda client, key: {name.decode(): at for name, at in client.zrange(key, 0, -1, withscores=True)},
}


def text(value: Any) -> Any:
    """A reply as the model writes it: strings, and the counts by event in order."""
    if isinstance(value, list):
        return [text(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


class Checked:
    """Runs each operation on the real scripts and on the model, from the time `start` in microseconds since 1970."""

    def __init__(self, client: redis.Redis, pubsub: redis.client.PubSub, rooms: list[str], start: int) -> None:
        self.client, self.pubsub, self.rooms = client, pubsub, rooms
        self.model = Model(start)
        self.elapsed = 0  # since the last operation that emits
        self.scripts: dict[str, Any] = {}
        self.wait(0)

    def wait(self, microseconds: int, clock_step: int = 0) -> None:
        self.elapsed += microseconds
        self.model.wall += microseconds + clock_step
        self.client.set(FROZEN_KEY, self.model.wall)

    def expected(self, random_: random.Random) -> int | None:
        """The steady time by a caller's clock, which measures exactly or not at all."""
        steady, elapsed = self.model.steady, self.elapsed
        self.elapsed = 0
        return steady[0] + elapsed if steady and random_.random() < 0.6 else None

    def run(self, operation: str, *args: Any) -> Any:
        if operation not in self.scripts:
            self.scripts[operation] = self.client.register_script(frozen(scripts.source(operation)))
        return text(self.scripts[operation](args=args))

    def check(self, operation: str, reply: Any, wanted: Any) -> Any:
        if isinstance(reply, list) and reply and isinstance(reply[0], list):
            reply[0].sort()
        assert reply == wanted, f"{operation}: {reply}, not {wanted}"
        published, self.model.published = self.model.published, []
        received = self.received()
        assert received == published, f"{operation}: {received}, not {published}"
        return reply

    def call(self, operation: str, *args: Any) -> Any:
        wanted = getattr(self.model, operation)(*args)
        return self.check(operation, self.run(operation, *args), wanted)

    def emitting(self, operation: str, expected: int | None, *args: Any) -> Any:
        wanted = getattr(self.model, operation)(expected, *args)
        sent = ["" if each is None else each for each in (expected, *args)]
        if operation == "emit":
            sent.insert(5, message_template(args[3]))
        return self.check(operation, self.run(operation, *room_args(), *sent), wanted)

    def report(self, reports: list[tuple[str, str, str, str]], *, packed: bool) -> None:
        flat = [part for each in reports for part in each]
        reply = self.run("report", *([_pack(flat)] if packed else flat))
        self.check("report", reply, self.model.report(reports))

    def received(self) -> list[tuple[str, str]]:
        """The messages so far: the answer to a ping follows them."""
        self.pubsub.ping()
        found = []
        while (message := self.pubsub.get_message(timeout=60))["type"] != "pong":
            if message["type"] == "message":
                found.append((message["channel"].decode(), message["data"].decode()))
        return found

    def listen(self, channel: str) -> None:
        """Start or stop to listen."""
        (self.pubsub.unsubscribe if channel in self.model.listeners else self.pubsub.subscribe)(channel)
        self.model.listeners ^= {channel}
        assert self.received() == []

    def check_keys(self) -> None:
        held = {}
        for key in self.client.scan_iter(count=1000):
            name = key.decode()
            if name != FROZEN_KEY and not name.endswith(":disconnected"):
                held[name] = READERS[self.client.type(key)](self.client, key)
        for id_ in self.rooms:
            if queue := held.get(f"room:{id_}:queue"):
                held[f"room:{id_}:queue"] = [each.split(" ", 4)[:4] for each in queue]
        held, wanted = ({name: value for name, value in each.items() if value} for each in (held, self.model.keys()))
        names = held.keys() | wanted.keys()
        different = {name: (held.get(name), wanted.get(name)) for name in names if held.get(name) != wanted.get(name)}
        assert not different, f"in Redis and in the model: {different}"


class Steps:
    """Random operations on a few rooms and agents, so that they often meet.

    Rooms that are not `calm` often have a queue, from many events or terminal updates of `many` agents at once.
    """

    def __init__(self, checked: Checked, seed: str, *, is_calm: bool) -> None:
        self.events, self.updates = ((1,), (1, 1, 3)) if is_calm else ((1, 1, 1, 4, 11, 50), (1, 1, 1, 3, 60))
        self.checked, self.model, self.random = checked, checked.model, random.Random(seed)
        self.agents = [f"A{number}" for number in range(5)]
        self.many = [f"B{number}" for number in range(150)]
        self.positions: Counter[str] = Counter()
        for id_ in checked.rooms:
            for view in ("", "~"):
                if self.random.random() < 0.5:
                    checked.listen(CHANNEL_PREFIX + view + id_)

    def agent(self) -> str:
        return self.random.choice(self.agents if self.random.random() < 0.9 else self.many)

    def room(self) -> str:
        return self.random.choice(self.checked.rooms)

    def pass_time(self) -> None:
        """Often none; else a limit of the scripts, sometimes until the coarse time of `agents:last_seen` advances."""
        pauses = [0, 0, 0, self.random.choice(PAUSES), LAG - self.model.wall % LAG if self.random.random() < 0.1 else 1]
        clock_step = self.random.choice(CLOCK_STEPS) if self.random.random() < 0.03 else 0
        self.checked.wait(self.random.choice(pauses), clock_step)

    def drain_when_due(self) -> None:
        """Exactly when the next room is due, or a microsecond before."""
        due = int(min(self.model.due.values(), default=0)) - self.model.steady_time()
        self.checked.wait(max(0, due - self.random.choice((0, 0, 1))))
        self.drain()

    def emit(self) -> None:
        id_ = self.room()
        for _ in range(self.random.choice(self.events)):
            event, data = self.random.choice(EVENTS), f'{{"n":"{self.random.random()} %1 @seq@"}}'
            position, identity = self.stored(id_) if self.random.random() < 0.5 else ("", "")
            self.checked.emitting("emit", self.checked.expected(self.random), id_, position, identity, event, data)

    def stored(self, id_: str) -> tuple[int, str]:
        """A new position mostly; or an old one, of the same event or of another."""
        if self.random.random() < 0.8:
            self.positions[id_] += 1
            return self.positions[id_], f"{id_}/{self.positions[id_]}"
        position = max(0, self.positions[id_] - self.random.randrange(3))
        return position, self.random.choice((f"{id_}/{position}", f"other {id_}/{position}"))

    def drain(self) -> None:
        due_by = self.random.choice((None, None, self.model.steady_time(), self.model.steady_time() - 500_000))
        most = self.random.choice((1, 2, 100, 100))
        self.checked.emitting("drain", self.checked.expected(self.random), most, due_by)

    def rewind(self) -> None:
        id_ = self.room()
        position = max(0, (self.model.room(id_).outbox or 0) - self.random.randrange(2))
        self.checked.emitting("rewind", self.checked.expected(self.random), id_, position)

    def data(self, agent: str, id_: str, task: str, status: str) -> str:
        end = self.random.choice(('"2026-01-01T00:00:00.000Z"', "null"))
        names = f'{{"agentId":"{agent}","protocolId":"{id_}","task":"{task}","status":"{status}"'
        return f'{names},"estimatedCompletion":{end},"n":"{self.random.random()}"'

    def report(self) -> None:
        reports = []
        for agent in [self.agent() for _ in range(self.random.choice((1, 1, 2, 8)))]:
            id_, task = self.room(), self.random.choice(("scan", "scan", "scan all"))
            reports.append((agent, id_, task, self.data(agent, id_, task, "RUNNING")))
        self.checked.report(reports, packed=self.random.random() < 0.5)

    def store(self) -> None:
        """Terminal updates and starts of tasks, sometimes with an older version."""
        count = self.random.choice(self.updates)
        for agent in [self.agent() for _ in range(count)] if count < 10 else self.random.sample(self.many, count):
            id_ = self.room() if count < 10 else self.checked.rooms[0]
            version = int(self.checked.call("allocate_versions", agent)[0])
            known = [self.model.task_version.get(agent, version), version - 1_000_000]
            version = self.random.choice([version, version, version + 1, version + 1000, *known])
            kind, status = self.random.choice(
                (("terminal", "COMPLETED"), ("terminal", "FAILED"), ("running", "RUNNING"))
            )
            task = "" if kind == "terminal" else "scan"
            data = self.data(agent, id_, task, status) + f',"version":"{version}"}}'
            position, identity = self.stored(id_)
            self.checked.call("add_stored", agent, id_, position, task, data, version, kind, identity)

    def read_seq(self) -> None:
        view = self.random.choice(("", "~")) + self.room()
        self.checked.call("read_seq", view, *self.random.choice(((), ("0",))))

    def forget(self) -> None:
        silence = self.random.choice((0, 1_000_000, 121_000_000, 10**12))
        self.checked.call("forget_silent_agents", self.room(), silence, self.random.choice((1, 100)))

    def allocate_versions(self) -> None:
        self.checked.call("allocate_versions", *self.random.choices(self.agents, k=3))

    def listen(self) -> None:
        self.checked.listen(CHANNEL_PREFIX + self.random.choice(("", "~")) + self.room())

    def lose_keys(self) -> None:
        """Redis loses a room's number, or a client disconnects or returns."""
        room = self.model.room(self.room())
        kind = self.random.choice(("seq", "batch_seq", "disconnected", "disconnected"))
        if kind == "disconnected":
            room.is_disconnected = not room.is_disconnected
            key = f"room:{room.id}:disconnected"
            self.checked.client.set(key, 1) if room.is_disconnected else self.checked.client.delete(key)
        else:
            setattr(room, kind, None)
            self.checked.client.delete(f"room:{room.id}:{kind}")

    def run(self, count: int) -> None:
        frequent = [self.drain] * 4 + [self.drain_when_due] * 5 + [self.emit] * 3 + [self.report] * 6 + [self.store] * 4
        rare = [
            self.rewind,
            self.read_seq,
            self.forget,
            self.allocate_versions,
            self.listen,
            self.listen,
            self.lose_keys,
        ]
        for number in range(count):
            self.pass_time()
            self.random.choice(frequent + rare)()
            if number % 20 == 0:
                self.checked.check_keys()
        self.checked.check_keys()
