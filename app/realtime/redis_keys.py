"""Names of rooms, and every key and channel that the realtime part keeps in Redis.

| key | what | lifetime |
|---|---|---|
| `room:{p}:seq` | number of the room's last event | for good |
| `room:{p}:outbox` | outbox position of the last stored event let in | for good |
| `room:{p}:relayed` | identities of the last 500 stored events let in | for good |
| `room:{p}:sent` | steady times of the last 10 events | for good |
| `room:{p}:pace` | steady time at which a backlogged room may send again | until nothing waits |
| `room:{p}:queue` | events waiting, at most 100 | until sent |
| `room:{p}:running` | agents whose RUNNING update waits, by since when | until sent |
| `room:{p}:finals` | agents whose closing event is next, by when it may leave | until sent |
| `room:{p}:latest` | newest reported state of each agent | a week after it was last heard here |
| `room:{p}:heard` | when each agent of the room was last heard; up to 5 s old | a week |
| `room:{p}:busy` | when each last had a running task here; up to 5 s old | a week |
| `room:{p}:batch` | when the last batch of agent updates left | for good |
| `room:{p}:changed` | agents the next batch tells of, once a batched view was joined | until sent |
| `room:~{p}:seq` | number of the last event of the room's batched view | for good |
| `room:{p}:absent` | who lost the connection lately | 5 min |
| `agents:version` | newest version of each agent's task: the microsecond in which it was last heard | for good |
| `agents:on` | protocol and task each agent is on; no task after a closing one | for good |
| `agents:turned` | version of the event by which it came to be on that | for good |
| `agents:due` | when each agent may be told of again | for good |
| `agents:closing` | how many closing events of an agent have yet to leave | until sent |
| `agent:{a}:finals` | closing events waiting, at most 100 | until sent |
| `agents:heard` | when each agent was last heard, to count them; up to 5 s old | for good |
| `agents:busy` | when each agent last had a running task, to count them; up to 5 s old | for good |
| `rooms:due` | when each waiting room is due next | until nothing waits |
| `rooms:dropped` | how many events each room has lost to its full queue | for good |
| `rooms:dropped:at` | when each room last lost one | for good |
| `processes` | each process with its version and last sign of life, by Redis's clock | until it ends, at most 5 min |
| `dashboard:ready` | written by `/readyz` to see that Redis takes writes | 60 s |
| `clock:steady` | the steady clock: its last time, and what to add to Redis's clock | for good |
| `redis:memory` | a random value; another one tells that Redis lost its memory | for good |
| `outbox:checked` | the last protocol whose position was compared with the database's | for good |
| `beat:leader` | the beat that leads | 4 s |
| `drain:at` | steady time at which the one pending drain will run | seconds |
| `beat:tick` | when beat's last tick was handled | for good |
"""

CHANNEL_PREFIX = "dashboard:room:"
CONTROL_CHANNEL = "dashboard:control"
VERSION_KEY = "agents:version"
TASK_KEY = "agents:on"
LAST_SEEN_KEY = "agents:heard"
BUSY_KEY = "agents:busy"
DUE_KEY = "rooms:due"
DROPPED_KEY = "rooms:dropped"
DROPPED_AT_KEY = "rooms:dropped:at"
DRAIN_KEY = "drain:at"
TICK_KEY = "beat:tick"
MEMORY_KEY = "redis:memory"
COMPARED_KEY = "outbox:checked"
_ROOM_PREFIX = "protocol:"


def room_of(protocol_id: str) -> str:
    """The Socket.IO room of a protocol (spec: WebSocket Room Management)."""
    return _ROOM_PREFIX + protocol_id


def channel_of(protocol_id: str) -> str:
    """The Redis channel of a protocol's room; a web process subscribes while it has members there."""
    return CHANNEL_PREFIX + protocol_id


def batched_view(protocol_id: str) -> str:
    """The name of a room's second view, for connections that joined with `agentBatches`; no id begins with `~`."""
    return "~" + protocol_id


def latest_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:latest"


def last_seen_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:heard"


def busy_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:busy"


def position_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:outbox"


def queue_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:queue"


def seq_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:seq"


def waiting_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:running"


def window_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:sent"


def absent_key(protocol_id: str) -> str:
    return f"room:{protocol_id}:absent"
