"""`schemas.ProgressReport` for RUNNING reports, compiled: what is taken here, the schema takes too.

Ids are not looked at: the caller takes only those that are known here, and these are valid.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from app.agents.schemas import MAX_UPDATES
from app.core.schemas import NAME_LENGTH
from app.core.serialization import iso_timestamp, moment_of, number_text
from app.core.text import naming_problem

AGENTS, PROGRESS, BATCH = "/api/v1/agents/", "/progress", "/api/v1/progress"

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH)]
Percentage = Annotated[int, Meta(ge=0, le=100)] | Annotated[float, Meta(ge=0, le=100)]


class Report(Struct, rename="camel", forbid_unknown_fields=True):
    """A RUNNING report: the part of `schemas.ProgressReport` that needs no second look."""

    protocol_id: str
    task: Name
    progress: Percentage
    status: Literal["RUNNING"] = "RUNNING"
    estimated_completion: str | None = None
    error: None = None
    next_task: Name | None = None


class AgentReport(Report, rename="camel", forbid_unknown_fields=True, kw_only=True):
    agent_id: str


class Batch(Struct, forbid_unknown_fields=True):
    updates: Annotated[list[AgentReport], Meta(min_length=1, max_length=MAX_UPDATES)]


_one = msgspec.json.Decoder(Report)
_many = msgspec.json.Decoder(Batch)
_encode = msgspec.json.Encoder().encode

_EVENT = (
    '{"agentId":"%s","task":%s,"progress":"%s","status":"RUNNING","estimatedCompletion":%s,"error":null,"nextTask":%s'
)

# ValueError: msgspec leaves bytes that are not UTF-8 to Python.
NOT_PLAIN = (msgspec.MsgspecError, ValueError, RecursionError)

Reports = list[tuple[str, Report]]


def single(body: bytes, path: str) -> Reports:
    """The report in `body` with the agent of `path`; empty when it is not plain."""
    agent_id = path[len(AGENTS) : -len(PROGRESS)]
    if not path.startswith(AGENTS) or "/" in agent_id:
        return []
    try:
        return [(agent_id, _one.decode(body))]
    except NOT_PLAIN:
        return []


def batch(body: bytes) -> Reports:
    """The reports of a batch; empty when one of them is not plain."""
    try:
        return [(each.agent_id, each) for each in _many.decode(body).updates]
    except NOT_PLAIN:
        return []


def is_plain(report: Report) -> bool:
    """Whether the schema would take it as it is: names by its rule, and a date that is one."""
    if report.estimated_completion is not None:
        try:
            moment_of(report.estimated_completion)
        except (ValueError, OverflowError):
            return False
    return naming_problem(report.task) is None and (
        report.next_task is None or naming_problem(report.next_task) is None
    )


def event_json(agent_id: str, report: Report) -> str:
    """The data of an agent:task_update without its version and closing brace; id and report are plain ones."""
    value = report.progress
    when = report.estimated_completion
    return _EVENT % (
        agent_id,
        _encode(report.task).decode(),
        value if isinstance(value, int) else number_text(round(value, 2)),
        "null" if when is None else f'"{iso_timestamp(moment_of(when))}"',
        "null" if report.next_task is None else _encode(report.next_task).decode(),
    )
