"""An agent's tasks in order: which one runs, which is closed, what comes next. Helpers of the caller's transaction."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.agents.models import AgentTask, TaskStatus
from app.database import utc_now


@dataclass(frozen=True)
class NextTask:
    protocol_id: str
    name: str


def mark_started(session: Session, agent_id: str, protocol_id: str, name: str) -> None:
    """Make `name` the one running task: the queued one of that name, or a new one."""
    _supersede(session, agent_id)
    task = _open_task(session, agent_id, protocol_id, name) or _add_task(session, agent_id, protocol_id, name)
    task.status, task.started_at = TaskStatus.RUNNING, utc_now()


def mark_closed(session: Session, agent_id: str, fields: dict[str, Any]) -> None:
    """Close the task; an agent that ends what it was not on has left what it was on."""
    place = (agent_id, fields["protocol_id"], fields["task"])
    task = _open_task(session, *place) or _add_task(session, *place)
    task.status, task.closed_at = fields["status"], utc_now()
    session.flush()
    _supersede(session, agent_id)


def _supersede(session: Session, agent_id: str) -> None:
    """Whatever the agent is on now it has left."""
    running = (AgentTask.agent_id == agent_id, AgentTask.status == TaskStatus.RUNNING)
    session.execute(update(AgentTask).where(*running).values(status=TaskStatus.SUPERSEDED, closed_at=utc_now()))


def _open_task(session: Session, agent_id: str, protocol_id: str, name: str) -> AgentTask | None:
    same = (AgentTask.agent_id == agent_id, AgentTask.protocol_id == protocol_id, AgentTask.name == name)
    is_open = AgentTask.status.in_([TaskStatus.RUNNING, TaskStatus.QUEUED])
    running_first = (AgentTask.status == TaskStatus.RUNNING).desc()
    return session.scalars(select(AgentTask).where(*same, is_open).order_by(running_first, AgentTask.id)).first()


def _add_task(session: Session, agent_id: str, protocol_id: str, name: str) -> AgentTask:
    now = utc_now()
    task = AgentTask(
        agent_id=agent_id, protocol_id=protocol_id, name=name, status=TaskStatus.RUNNING, created_at=now, started_at=now
    )
    session.add(task)
    return task


def next_task(session: Session, agent_id: str, fields: dict[str, Any]) -> NextTask | None:
    """What the agent moves on to: the report's `nextTask`, else the head of its queue, else nothing."""
    if fields["next_task"]:
        return NextTask(fields["protocol_id"], fields["next_task"])
    queued = (AgentTask.agent_id == agent_id, AgentTask.status == TaskStatus.QUEUED)
    head = session.scalars(select(AgentTask).where(*queued).order_by(AgentTask.id).limit(1)).first()
    return NextTask(head.protocol_id, head.name) if head else None
