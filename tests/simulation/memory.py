"""Compares what a simulated server holds with the model."""

from typing import Any

from app.realtime import redis_keys
from tests.simulation.model_room import CAPACITY, Partition, Room
from tests.simulation.world import Mismatch, Server, World


def compare(world: World) -> None:
    """Raises Mismatch if a server holds anything else than the model, or too much."""
    for server in world.servers:
        dumped = server.redis.dump(world.wall(server))
        held = {name: value for name, value in dumped.items() if not name.endswith(":disconnected")}
        wanted = _wanted(server, world.wall(server))
        names = held.keys() | wanted.keys()
        different = {each: (held.get(each), wanted.get(each)) for each in names if held.get(each) != wanted.get(each)}
        if different:
            raise Mismatch(f"in Redis and in the model: {different}")
        for name, value in held.items():
            if name.endswith(":queue") and len(value) > CAPACITY:
                raise Mismatch(f"{len(value)} events wait in {name}")


def _wanted(server: Server, wall: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for slot, part in server.parts.items():
        number = redis_keys.PARTITION_SLOTS.index(slot)
        found |= {redis_keys.partition_key(number, name): value for name, value in _of_partition(part).items()}
        part.locations = {key: held for key, held in part.locations.items() if held["until"] > wall}
        for key, held in part.locations.items():
            found[key] = {"room": held["room"], "epoch": str(held["epoch"]), "previous": " ".join(held["previous"])}
        for room in part.rooms.values():
            room.disconnected_until *= room.disconnected_until > wall
            found |= {redis_keys.room_key(room.id, name): value for name, value in _of_room(room).items()}
    return {name: value for name, value in found.items() if value}


def _of_partition(part: Partition) -> dict[str, Any]:
    clock = "" if part.last is None else f"{part.last} {part.offset} {part.born} {part.server}"
    return {
        "clock": clock, "due": part.due, "rooms": part.active, "last_seen": part.last_seen, "busy": part.busy,
        "dropped": part.dropped,
    }  # fmt: skip


def _of_room(room: Room) -> dict[str, Any]:
    names = ("seq", "batch_seq", "pacing", "batch_at", "outbox", "dropped", "changes")
    state = {name: str(getattr(room, name)) for name in names if getattr(room, name) not in (None, 0)}
    if room.seq == 0:
        state["seq"] = "0"
    agents = {
        name: f"{a.next_allowed} {a.pending} {a.version} {a.task_version} {a.epoch} {int(a.is_here)} {a.task}"
        for name, a in room.agents.items()
    }
    queue = [
        f"{seq} {'-' if batch is None else batch} {name or '-'} {event} {at} {data}"
        for seq, batch, name, event, at, data in room.queue
    ]
    return {
        "state": state, "agents": agents, "latest": room.latest, "waiting": room.waiting, "last_seen": room.last_seen,
        "busy": room.busy, "batch_waiting": room.batch_waiting, "window": [str(at) for at in room.window],
        "queue": queue, "terminal": room.terminal, "relayed": room.relayed,
        "terminal_updates": {name: "\n".join(updates) for name, updates in room.updates.items()},
    }  # fmt: skip
