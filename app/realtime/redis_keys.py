"""Names of rooms, and every key and channel of the application in Redis.

`{p}` is a protocol id, `{a}` an agent id, `{x}` another identifier. Times are microseconds of the steady clock
(lua/clock.lua); those marked "wall" are of Redis's clock. Writers are scripts of lua/ or modules; "emits" stands for
emit, drain and rewind. docs/bounds.md lists how each key is bounded.

| key | type | content | writers | lifetime |
|---|---|---|---|---|
| `room:{p}:seq` | string | number of the room's last event | emits, read_seq | permanent |
| `room:{p}:batch_seq` | string | number of the last event of its batched view | emits, read_seq | permanent |
| `room:{p}:outbox` | string | position of the last stored event taken | emit, add_stored, rewind | permanent |
| `room:{p}:relayed` | list | identities of the last 500 stored events taken | emit, add_stored | permanent |
| `room:{p}:window` | list | times of the last 10 events | emits | permanent |
| `room:{p}:pacing` | string | when a room with a queue may emit again | emits | while events wait |
| `room:{p}:queue` | list | events that wait, at most 100 | emits | until sent |
| `room:{p}:waiting` | zset | agents whose RUNNING update waits, by due time | report, add_stored, emits | until sent |
| `room:{p}:terminal` | zset | agents whose terminal update is next, by due time | add_stored, emits | until queued |
| `room:{p}:latest` | hash | newest update of each agent | report, add_stored | a week after it was last seen here |
| `room:{p}:last_seen` | zset | agents by last time seen, 120 s earlier if they left | report, add_stored | a week |
| `room:{p}:busy` | zset | the same for agents with a running task | report, add_stored | a week |
| `room:{p}:batch` | hash | `at`: when the last batch left | emits | permanent |
| `room:{p}:batch_waiting` | zset | agents of the next batch, by due time | report, add_stored, emits | until sent |
| `room:{p}:disconnected` | zset | up to 100 clients by when they lost the connection | emitter | 5 min |
| `agents:version` | hash | newest version: when last seen (wall) | report, add_stored, allocate_versions | permanent |
| `agents:task` | hash | protocol and task; no task after a terminal update | report, add_stored | permanent |
| `agents:task_version` | hash | version of the update that set `agents:task` | report, add_stored | permanent |
| `agents:next_allowed` | hash | when the next update may leave | emits | permanent |
| `agents:pending_terminal` | hash | number of terminal updates yet to leave | add_stored, emits | until sent |
| `agent:{a}:terminal` | list | terminal updates not yet queued, at most 100 | add_stored, emits | until queued |
| `agents:last_seen` | zset | agents by when last seen (wall, up to 5 s late) | report, add_stored, drain | permanent |
| `agents:busy` | zset | the same for agents with a running task | report, add_stored, drain | permanent |
| `rooms:due` | zset | rooms by when something in them is due | report, add_stored, emits | until sent |
| `rooms:dropped` | hash | number of events that each room dropped | emits | permanent |
| `rooms:dropped:at` | zset | rooms by when they last dropped one (wall) | emits | permanent |
| `drain:at` | string | when the scheduled drain runs | emitter | until it runs, at most 4 s |
| `beat:tick` | string | when beat's last tick was handled (wall, seconds) | emitter | permanent |
| `beat:leader` | string | token of the beat that leads | lease_lead | 4 s |
| `clock:steady` | string | the last steady time, its offset from Redis's clock | emits | permanent |
| `outbox:checked` | string | last protocol compared with the database | outbox | permanent |
| `webhooks:run` | string | empty; a run of the webhooks' delivery goes on | webhooks/delivery | 5 s |
| `redis:memory` | string | random; changes when Redis has lost its memory | fanout/resync | permanent |
| `redis:layout` | string | version of this layout | scripts | permanent |
| `processes` | hash | version and last sign of life of each process | process_registry | at most 5 min after its end |
| `presence:processes` | zset | web processes by last sign of life | sockets/connections | 15 s |
| `presence:{x}`, `crowded:{x}` | hash | a process's connections by room, and by token | sockets/connections | 15 s |
| `limit:{x}` | string | requests of a caller, of all processes | http/rate_limits | 10 s |
| `stream-ticket:{x}` | string | a token's claims | streams/tickets | until used, at most 30 s |
| `auth:revocations` | string | changes with each revocation | auth/revocation | permanent |
| `dashboard:ready` | string | empty; shows that Redis takes writes | redis_connection | 60 s |
"""

CHANNEL_PREFIX = "dashboard:room:"
CONTROL_CHANNEL = "dashboard:control"
VERSION_KEY = "agents:version"
TASK_KEY = "agents:task"
LAST_SEEN_KEY = "agents:last_seen"
BUSY_KEY = "agents:busy"
DUE_KEY = "rooms:due"
DROPPED_KEY = "rooms:dropped"
DROPPED_AT_KEY = "rooms:dropped:at"
DRAIN_KEY = "drain:at"
TICK_KEY = "beat:tick"
CLOCK_KEY = "clock:steady"
MEMORY_KEY = "redis:memory"
LAYOUT_KEY = "redis:layout"
COMPARED_KEY = "outbox:checked"
WEBHOOK_RUN_KEY = "webhooks:run"


def room_of(protocol_id: str) -> str:
    """The Socket.IO room of a protocol (spec: WebSocket Room Management)."""
    return "protocol:" + protocol_id


def channel_of(protocol_id: str) -> str:
    """The Redis channel of a protocol's room; a web process subscribes while it has members there."""
    return CHANNEL_PREFIX + protocol_id


def batched_view(protocol_id: str) -> str:
    """The view of a room for connections that joined with `agentBatches`; no protocol id begins with `~`."""
    return "~" + protocol_id


def room_key(protocol_id: str, part: str) -> str:
    """The key of one part of a room: `seq`, `queue`, `waiting` and so on, as in the table."""
    return f"room:{protocol_id}:{part}"
