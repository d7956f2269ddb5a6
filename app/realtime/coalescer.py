"""The coalescer: at most one update a second per agent; the newest RUNNING report wins, terminal updates never merge.

An agent's waiting RUNNING update is its entry in the room's `latest` hash; a drain of the room emits it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from app.core.redis_multiplexer import RedisMultiplexer
from app.core.values import to_json
from app.realtime import scripts
from app.realtime.limiter import BEHIND, StoredEvent

MAX_PENDING_TERMINAL = 100
TERMINAL_STATUSES = frozenset({"COMPLETED", "FAILED"})

_pack = msgspec.msgpack.Encoder().encode


class RunningReport(NamedTuple):
    """One RUNNING report. `data_json`: the event's data without `version` and without the closing brace.

    All are `str`: Redis's MessagePack has no other kind of string.
    """

    agent_id: str
    protocol_id: str
    task: str
    data_json: str


class Accepted(NamedTuple):
    """The version given to a report, and whether the agent was not on this task before."""

    version: int
    is_new_task: bool


@dataclass(frozen=True)
class TaskVersions:
    """Versions reserved for a stored report and for the start of the agent's next task.

    `pending_terminal`: how many terminal updates of the agent have yet to leave.
    """

    terminal: int
    next_task: int
    pending_terminal: int


def running_report(protocol_id: str, data: dict[str, Any]) -> RunningReport:
    return RunningReport(data["agentId"], protocol_id, data["task"], to_json(data)[:-1])


def report(reports: Sequence[RunningReport], redis_multiplexer: RedisMultiplexer | None = None) -> list[Accepted]:
    """Take RUNNING reports in one Redis round trip. Raises redis.RedisError.

    With a `redis_multiplexer` no app context is needed.
    """
    packed = _pack(list(chain.from_iterable(reports)))
    reply = (
        scripts.run("report", packed)
        if redis_multiplexer is None
        else scripts.run_on(redis_multiplexer, "report", packed)
    )
    accepted = [Accepted(int(reply[0]), is_new_task=False)] * len(reports)
    for index, version, is_new in zip(reply[1::3], reply[2::3], reply[3::3], strict=True):
        accepted[index] = Accepted(int(version), is_new == b"1")
    return accepted


def allocate_versions(agent_ids: Sequence[str]) -> list[TaskVersions]:
    """Reserve versions for reports that are about to be stored, in one Redis round trip; an agent may be repeated.

    Raises redis.RedisError.
    """
    reply = scripts.run("allocate_versions", *agent_ids)
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [TaskVersions(int(version), int(version) + 1, pending) for version, pending in pairs]


def add_stored(protocol_id: str, stored: StoredEvent, data: dict[str, Any], data_json: str) -> bool:
    """Take a stored agent update; False if the database is older than the room, which `limiter.rewind` repairs.

    Raises redis.RedisError.
    """
    kind, task = ("terminal", "") if data["status"] in TERMINAL_STATUSES else ("running", data["task"])
    update = (data["agentId"], protocol_id, stored.position, task, data_json, data["version"], kind, stored.identity)
    return bool(scripts.run("add_stored", *update) != BEHIND)
