"""Takes rooms over from the key layouts of release 0.1 and of the development of 0.2, without partitions.

Numbers go on, positions and identities of stored events and the newest update of each agent are kept, and what waits
still leaves. Each room and each agent is moved in one transaction, which fails if another process is moving it, so that
an upgrade may be interrupted and repeated, and run by many processes at once.
"""

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from app.core.values import moment_of
from app.realtime.redis_keys import agent_keys, partition_key, partition_of, room_key

logger = logging.getLogger(__name__)

LAYOUT_KEY, LAYOUT = "redis:layout", b"3"
SCANNED_KEYS = 500
AGENT_LIFETIME_MS = 8 * 86_400_000
ROOM_PARTS = (
    "seq", "batch_seq", "outbox", "relayed", "queue", "waiting", "running", "terminal", "finals", "latest", "last_seen",
    "window", "sent", "pacing", "pace", "busy", "batch", "batch_waiting", "changed", "disconnected",
)  # fmt: skip
AGENT_HASHES = {"task": ("agents:task", "agents:on"), "version": ("agents:version",)}
OBSOLETE = (
    "agents:task", "agents:on", "agents:version", "agents:task_version", "agents:turned", "agents:next_allowed",
    "agents:due", "agents:pending_terminal", "agents:closing", "agents:last_seen", "agents:heard", "agents:busy",
    "rooms:due", "rooms:dropped", "rooms:dropped:at", "clock:steady", "redis:memory", "presence:parts",
    "worker:heartbeat", "redbeat::lock", "redbeat::schedule", "redbeat::statics", "redbeat:celery.backend_cleanup",
    "redbeat:flush", "redbeat:outbox-sweep", "redbeat:payment-sweep", "redbeat:retention",
)  # fmt: skip

Call = Callable[..., Any]


def upgrade(call: Call) -> None:
    """Run on a new connection to a standalone server, so before any script. Raises redis.RedisError."""
    if call("GET", LAYOUT_KEY) == LAYOUT:
        return
    names = sorted(_scan(call))
    rooms = {name.split(":", 1)[1].rpartition(":")[0].removeprefix("~") for name in names if name.startswith("room:")}
    for protocol_id in sorted(rooms):
        _move_room(call, protocol_id)
    agents = [name for name in names if name.startswith("agent:")]
    for name in agents:
        _move_terminal_updates(call, name)
    call("DEL", *OBSOLETE)
    call("SET", LAYOUT_KEY, LAYOUT)
    if rooms:
        logger.info("redis.keys_upgraded", extra={"rooms": len(rooms)})


def _scan(call: Call) -> set[str]:
    cursor, found = b"", set()
    while cursor != b"0":
        cursor, keys = call("SCAN", cursor or b"0", "COUNT", SCANNED_KEYS)
        names = (key.decode() for key in keys)
        found |= {name for name in names if name.startswith(("room:", "agent:"))}
    return found


def _move_room(call: Call, protocol_id: str) -> None:
    old = [f"room:{protocol_id}:{part}" for part in ROOM_PARTS] + [f"room:~{protocol_id}:seq"]
    call("WATCH", *old)
    if not call("EXISTS", *old):
        call("UNWATCH")
        return
    wall = _wall(call)
    commands = [
        *_state(call, protocol_id),
        *_newest_updates(call, protocol_id, wall),
        *_waiting(call, protocol_id, wall),
        ("ZADD", partition_key(partition_of(protocol_id), "rooms"), wall, protocol_id),
        ("DEL", *old),
    ]
    _transact(call, commands)


def _state(call: Call, protocol_id: str) -> Iterable[tuple[Any, ...]]:
    room, state = f"room:{protocol_id}", room_key(protocol_id, "state")
    old = call("MGET", f"{room}:seq", f"{room}:batch_seq", f"{room}:outbox", f"room:~{protocol_id}:seq")
    seq, batch_seq, outbox = old[0], old[1] or old[3], old[2]
    held = call("HMGET", state, "seq", "batch_seq", "outbox")
    for name, number, present in zip(("seq", "batch_seq", "outbox"), (seq, batch_seq, outbox), held, strict=True):
        if number is not None:
            yield "HSET", state, name, max(int(number), int(present or 0))
    if dropped := call("HGET", "rooms:dropped", protocol_id):
        yield "HSET", state, "dropped", dropped
    if relayed := call("LRANGE", f"{room}:relayed", 0, -1):
        yield "RPUSH", room_key(protocol_id, "relayed"), *relayed


def _newest_updates(call: Call, protocol_id: str, wall: int) -> Iterable[tuple[Any, ...]]:
    """Of each agent its newest update, its record and, if it works in this room, its location."""
    latest = call("HGETALL", f"room:{protocol_id}:latest")
    partition = partition_of(protocol_id)
    for name, data in zip(latest[::2], latest[1::2], strict=True):
        agent_id, update = name.decode(), json.loads(data)
        version = max(int(update["version"]), int(call("HGET", "agents:version", agent_id) or 0))
        on = call("HGET", "agents:task", agent_id) or call("HGET", "agents:on", agent_id) or b""
        room, _, task = on.decode().partition(" ")
        is_here = room == protocol_id
        seen = call("ZSCORE", f"room:{protocol_id}:last_seen", agent_id) or update["version"]
        record = f"0 0 {version} {update['version']} {version} {int(is_here)} {task if is_here else ''}"
        yield "HSET", room_key(protocol_id, "latest"), agent_id, data
        yield "HSET", room_key(protocol_id, "agents"), agent_id, record
        yield "ZADD", room_key(protocol_id, "last_seen"), seen, agent_id
        if is_here:
            key = agent_keys(agent_id)[0]
            yield "HSET", key, "room", protocol_id, "epoch", version
            yield "PEXPIRE", key, AGENT_LIFETIME_MS
            yield "ZADD", partition_key(partition, "last_seen"), min(float(seen), wall), agent_id
        if is_here and task:
            yield "ZADD", room_key(protocol_id, "busy"), seen, agent_id
            yield "ZADD", partition_key(partition, "busy"), min(float(seen), wall), agent_id


def _waiting(call: Call, protocol_id: str, wall: int) -> Iterable[tuple[Any, ...]]:
    """What waits leaves in the same order, as soon as the room's memory is old enough."""
    room = f"room:{protocol_id}"
    for entry in call("LRANGE", f"{room}:queue", 0, -1):
        yield "RPUSH", room_key(protocol_id, "queue"), _queued(entry.decode())
    waiting = call("ZRANGE", f"{room}:waiting", 0, -1) or call("ZRANGE", f"{room}:running", 0, -1)
    for number, agent_id in enumerate(waiting):
        for part in ("waiting", "batch_waiting"):
            yield "ZADD", room_key(protocol_id, part), wall - len(waiting) + number, agent_id
    yield "ZADD", partition_key(partition_of(protocol_id), "due"), wall, protocol_id


def _queued(entry: str) -> str:
    """A queued event was 'seq batch_seq agent type message', with placeholders in python-socketio's message."""
    *head, message = entry.split(" ", 4)
    event = json.loads(message.replace("\1", "").replace("\2", ""))["data"][0]
    milliseconds = int(moment_of(event["timestamp"]).timestamp() * 1000) if event["timestamp"] else 0
    head[2] = "-"  # its agent waits for nothing
    return " ".join([*head, str(milliseconds), json.dumps(event["data"], separators=(",", ":"), ensure_ascii=False)])


def _move_terminal_updates(call: Call, key: str) -> None:
    """Those of an agent, each 'protocol data', to its rooms; the agent's record there counts them."""
    agent_id = key.removeprefix("agent:").rpartition(":")[0]
    call("WATCH", key)
    rooms: dict[str, list[str]] = {}
    for entry in call("LRANGE", key, 0, -1):
        protocol_id, _, data = entry.decode().partition(" ")
        rooms.setdefault(protocol_id, []).append(data)
    commands: list[tuple[Any, ...]] = [("DEL", key)]
    for protocol_id, updates in rooms.items():
        agents, wall = room_key(protocol_id, "agents"), _wall(call)
        record = (call("HGET", agents, agent_id) or b"0 0 0 0 0 0 ").decode().split(" ", 6)
        record[1] = str(len(updates))
        commands += [
            ("HSET", agents, agent_id, " ".join(record)),
            ("HSET", room_key(protocol_id, "terminal_updates"), agent_id, "\n".join(updates)),
            ("ZADD", room_key(protocol_id, "terminal"), wall, agent_id),
            ("ZADD", room_key(protocol_id, "last_seen"), "NX", wall, agent_id),
            ("ZADD", partition_key(partition_of(protocol_id), "rooms"), wall, protocol_id),
            ("ZADD", partition_key(partition_of(protocol_id), "due"), wall, protocol_id),
        ]
    _transact(call, commands)


def _wall(call: Call) -> int:
    seconds, micros = call("TIME")
    return int(seconds) * 1_000_000 + int(micros)


def _transact(call: Call, commands: Iterable[tuple[Any, ...]]) -> None:
    commands = list(commands)  # they read before the transaction begins
    call("MULTI")
    for command in commands:
        call(*command)
    call("EXEC")
