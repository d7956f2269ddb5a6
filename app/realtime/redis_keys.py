"""Names of rooms, and every key and channel of the application in Redis.

Rooms are spread over 64 partitions by a hash of the protocol id. All keys of a partition have one hash tag, and so one
slot of a Redis Cluster: a script works on rooms of one partition, most on one; that of a batch of reports on all of its
partitions if the server is no cluster. Agents are spread in the same way.

`{t}` is the tag of a partition, `{p}` a protocol id, `{a}` an agent id, `{x}` another identifier. Times are microseconds
of the partition's steady clock (lua/clock.lua); those marked "wall" are of Redis's clock. Writers are scripts of lua/ or
modules; "emits" stands for emit, drain, rewind and leave. docs/bounds.md lists how each key is bounded.

Of a room, in `ROOMS_REDIS_URL`. A room in which nothing happens for 30 days is deleted, and so is what it knows of an
agent that was not seen there for a week (realtime/retention.py).

| key | type | content | writers | bound |
|---|---|---|---|---|
| `d3:{t}:room:{p}:state` | hash | `seq`, `batch_seq`: numbers of the last event, also of the batched view; `changes`: number of changes of what it knows of its agents; `outbox`: position of the last stored event taken; `pacing`: when waiting RUNNING updates may leave again; `batch_at`: when the last batch left; `dropped`: number of dropped events | emits, add_stored, read_seq, `changes` also by report, arrive, allocate_versions, forget_agents | 7 fields |
| `d3:{t}:room:{p}:agents` | hash | what is known of each agent (lua/agents.lua) | report, add_stored, arrive, emits, allocate_versions | a week after it was last seen |
| `d3:{t}:room:{p}:latest` | hash | newest update of each agent | report, add_stored, leave | as `agents` |
| `d3:{t}:room:{p}:waiting` | zset | agents whose RUNNING or IDLE update waits, by due time | report, add_stored, emits | until sent |
| `d3:{t}:room:{p}:last_seen` | zset | agents by last time seen (wall), 120 s earlier if they left | report, add_stored, arrive, emits | as `agents` |
| `d3:{t}:room:{p}:busy` | zset | the same for agents with a running task | report, add_stored, emits | as `agents` |
| `d3:{t}:room:{p}:batch_waiting` | zset | agents of the next batch, by due time | report, add_stored, emits | as `agents` |
| `d3:{t}:room:{p}:window` | list | times of the last 10 events | emits | 10 |
| `d3:{t}:room:{p}:queue` | list | events that wait | emits | 100 |
| `d3:{t}:room:{p}:terminal` | zset | agents whose terminal update is next, by due time | add_stored, emits | until queued |
| `d3:{t}:room:{p}:terminal_updates` | hash | terminal updates of an agent that are not queued yet, one a line | add_stored, emits | 100 an agent |
| `d3:{t}:room:{p}:relayed` | list | identities of the last stored events taken | emit, add_stored | 500 |
| `d3:{t}:room:{p}:disconnected` | zset | clients by when they lost the connection | emitter | 100, 5 min |

Of a partition:

| key | type | content | writers | bound |
|---|---|---|---|---|
| `d3:{t}:due` | zset | rooms by when something in them is due | report, add_stored, emits | until sent |
| `d3:{t}:clock` | string | the last steady time, its offset, when this memory began, the server | all but confirm | one value |
| `d3:{t}:rooms` | zset | rooms by when something last happened in them (wall) | report, add_stored, arrive, emits, read_seq | until the room is deleted |
| `d3:{t}:last_seen`, `d3:{t}:busy` | zset | agents of all its rooms, by when last seen (wall, up to 5 s late) | as of a room | a week |
| `d3:{t}:dropped` | zset | rooms by when they last dropped an event (wall) | emits | until the room is deleted |
| `d3:{t}:agent:{a}` | hash | the `room` in which the agent works, the `epoch` of its move there, `previous` rooms to leave | locate, confirm | 8 days |
| `redis:layout` | string | version of this layout, on a standalone server | key_upgrade | one value |

Of the control plane, in `REDIS_URL`:

| key | type | content | writers | lifetime |
|---|---|---|---|---|
| `drain:at` | string | token of the scheduled drain; expires 2 s after its time | emitter | at most 4 s |
| `beat:tick` | string | when beat's last tick was handled (wall, seconds) | emitter | permanent |
| `beat:leader` | string | token of the beat that leads | lease_lead | 4 s |
| `outbox:checked` | string | last protocol compared with the database | outbox | permanent |
| `webhooks:run` | string | empty; a run of the webhooks' delivery goes on | webhooks/delivery | 5 s |
| `processes` | hash | version and last sign of life of each process | process_registry | at most 5 min after its end |
| `presence:processes` | zset | web processes by last sign of life | sockets/connections | 15 s |
| `presence:{x}`, `crowded:{x}` | hash | a process's connections by room, and by token | sockets/connections | 15 s |
| `limit:{x}` | string | requests of a caller, of all processes | http/rate_limits | 10 s |
| `stream-ticket:{x}` | string | a token's claims | streams/tickets | until used, at most 30 s |
| `auth:revocations` | string | changes with each revocation | auth/revocation | permanent |
| `dashboard:ready` | string | empty; shows that Redis takes writes | redis_connection | 60 s |
"""  # noqa: E501 - tables

from binascii import crc32, crc_hqx
from functools import cache, lru_cache
from itertools import count

PARTITIONS = 64
SLOTS = 16_384
LAYOUT = "d3"

PARTITION_PARTS = ("clock", "due", "rooms", "last_seen", "busy", "dropped")
ROOM_PARTS = ("state", "agents", "latest", "waiting", "last_seen", "busy", "batch_waiting")
MORE_ROOM_PARTS = ("window", "queue", "terminal", "terminal_updates", "relayed", "disconnected")

CONTROL_CHANNEL = "dashboard:control"
DRAIN_KEY = "drain:at"
TICK_KEY = "beat:tick"
LEADER_KEY = "beat:leader"
COMPARED_KEY = "outbox:checked"
WEBHOOK_RUN_KEY = "webhooks:run"


def slot_of(tag: str) -> int:
    """The slot of a Redis Cluster to which keys with this hash tag belong."""
    return crc_hqx(tag.encode(), 0) % SLOTS


@cache
def _tags() -> tuple[str, ...]:
    """A tag for each partition, so that the partitions are spread evenly over the slots."""
    found: dict[int, str] = {}
    for number in count():
        found.setdefault(slot_of(str(number)) * PARTITIONS // SLOTS, str(number))
        if len(found) == PARTITIONS:
            break
    return tuple(found[partition] for partition in range(PARTITIONS))


TAGS = _tags()
PARTITION_SLOTS = tuple(map(slot_of, TAGS))
_SLOT_BY_PREFIX = {f"{LAYOUT}:{{{tag}": slot_of(tag) for tag in TAGS}


def partition_of(identifier: str) -> int:
    """The partition of a protocol's room, or of an agent."""
    return crc32(identifier.encode()) % PARTITIONS


@lru_cache(maxsize=20_000)
def slot_of_key(key: str) -> int:
    return _SLOT_BY_PREFIX[key.partition("}")[0]]


def partition_key(partition: int, part: str) -> str:
    """The key of one part of a partition: `due`, `clock` and so on, as in the table."""
    return f"{LAYOUT}:{{{TAGS[partition]}}}:{part}"


@cache
def partition_keys(partition: int) -> tuple[str, ...]:
    """The keys of a partition, in the order of lua/keys.lua and lua/partition.lua."""
    return tuple(partition_key(partition, part) for part in PARTITION_PARTS)


@cache
def all_keys(part: str) -> tuple[str, ...]:
    """The keys of this part of all partitions."""
    return tuple(partition_key(partition, part) for partition in range(PARTITIONS))


def room_key(protocol_id: str, part: str) -> str:
    """The key of one part of a room: `state`, `queue` and so on, as in the table."""
    return f"{channel_of(protocol_id)}:{part}"


@lru_cache(maxsize=20_000)
def room_keys(protocol_id: str) -> tuple[str, ...]:
    """The keys of a room's partition and of the room, in the order of lua/keys.lua."""
    of_room = (room_key(protocol_id, part) for part in (*ROOM_PARTS, *MORE_ROOM_PARTS))
    return (*partition_keys(partition_of(protocol_id)), *of_room)


@lru_cache(maxsize=20_000)
def report_keys(protocol_id: str) -> tuple[str, ...]:
    """The first of the `room_keys`, which are all that a report needs."""
    return room_keys(protocol_id)[: len(PARTITION_PARTS) + len(ROOM_PARTS)]


def agent_keys(agent_id: str) -> tuple[str, str]:
    """The key of an agent's location, and the clock of its partition (lua/agent.lua)."""
    partition = partition_of(agent_id)
    return partition_key(partition, f"agent:{agent_id}"), partition_key(partition, "clock")


def room_of(protocol_id: str) -> str:
    """The Socket.IO room of a protocol (spec: WebSocket Room Management)."""
    return "protocol:" + protocol_id


def channel_of(view: str) -> str:
    """The sharded channel of a protocol's room, or of its batched view, in the room's partition."""
    return partition_key(partition_of(view.removeprefix("~")), f"room:{view}")


def view_of(channel: str) -> str:
    """The protocol id or batched view whose channel this is."""
    return channel.partition("}:room:")[2]


def batched_view(protocol_id: str) -> str:
    """The view of a room for connections that joined with `agentBatches`; no protocol id begins with `~`."""
    return "~" + protocol_id
