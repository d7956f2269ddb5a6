"""Agents' tasks in order: which one runs, which is closed, what comes next. Helpers of the caller's transaction.

The open tasks of all agents of a request are read once and changed in memory, so that a request writes them with a
few statements however many reports it has.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, or_, select, tuple_
from sqlalchemy.orm import Session

from app.agents.models import CLOSED, AgentTask, TaskStatus
from app.core.database import utc_now

MAX_CLOSED_TASKS = 1000
PRUNE_EVERY = 100
PRUNED_AT_ONCE = 500


@dataclass(frozen=True)
class NextTask:
    protocol_id: str
    name: str


class Worklists:
    """The open tasks of some agents; `changes` counts the tasks that were started or closed."""

    def __init__(self, session: Session, reports: Sequence[tuple[str, dict[str, Any]]]) -> None:
        self._session = session
        self._open: dict[str, list[AgentTask]] = defaultdict(list)
        self._added: list[AgentTask] = []
        self.changes = 0
        for task in session.scalars(_open_tasks(reports)):
            self._open[task.agent_id].append(task)

    def start(self, agent_id: str, protocol_id: str, name: str) -> bool:
        """Make `name` the one running task: the queued one of that name, or a new one. False when it runs already."""
        running = [task for task in self._open[agent_id] if task.status == TaskStatus.RUNNING]
        if [(task.protocol_id, task.name) for task in running] == [(protocol_id, name)]:
            return False
        self._supersede(agent_id)
        task = self._find(agent_id, protocol_id, name) or self._add(agent_id, protocol_id, name)
        task.status, task.started_at = TaskStatus.RUNNING, utc_now()
        self.changes += 1
        return True

    def close(self, agent_id: str, fields: dict[str, Any]) -> None:
        """Close the task; an agent that ends what it was not on has left what it was on."""
        place = (agent_id, fields["protocol_id"], fields["task"])
        task = self._find(*place) or self._add(*place)
        self._end(task, fields["status"])
        self._supersede(agent_id)
        self.changes += 1

    def next_task(self, agent_id: str, fields: dict[str, Any]) -> NextTask | None:
        """What the agent moves on to: the report's `nextTask`, else the head of its queue, else nothing."""
        if fields["next_task"]:
            return NextTask(fields["protocol_id"], fields["next_task"])
        queued = (task for task in self._open[agent_id] if task.status == TaskStatus.QUEUED)
        head = next(queued, None)
        return NextTask(head.protocol_id, head.name) if head else None

    def write(self) -> None:
        """Write the changes; every hundredth new task prunes the closed ones of its agent."""
        self._session.flush()
        for agent_id in {task.agent_id for task in self._added if task.id % PRUNE_EVERY == 0}:
            prune(self._session, agent_id)

    def _find(self, agent_id: str, protocol_id: str, name: str) -> AgentTask | None:
        """The open task of that name, a running one first."""
        same = [task for task in self._open[agent_id] if (task.protocol_id, task.name) == (protocol_id, name)]
        return min(same, key=lambda task: task.status != TaskStatus.RUNNING, default=None)

    def _add(self, agent_id: str, protocol_id: str, name: str) -> AgentTask:
        now = utc_now()
        task = AgentTask(
            agent_id=agent_id, protocol_id=protocol_id, name=name,
            status=TaskStatus.RUNNING, created_at=now, started_at=now,
        )  # fmt: skip
        self._session.add(task)
        self._added.append(task)
        self._open[agent_id].append(task)
        return task

    def _supersede(self, agent_id: str) -> None:
        """Whatever the agent is on now it has left."""
        for task in [each for each in self._open[agent_id] if each.status == TaskStatus.RUNNING]:
            self._end(task, TaskStatus.SUPERSEDED)

    def _end(self, task: AgentTask, status: str) -> None:
        task.status, task.closed_at = status, utc_now()
        self._open[task.agent_id].remove(task)


def _open_tasks(reports: Sequence[tuple[str, dict[str, Any]]]) -> Any:
    """Those the reports can touch: running ones, those they name, and as many of each queue's head as may be begun."""
    most = 2 * max((_count_by_agent(reports)).values(), default=0) + 1
    agent_ids = sorted({agent_id for agent_id, _ in reports})
    named = sorted({(agent_id, name) for agent_id, fields in reports for name in _names(fields)})
    same = (AgentTask.agent_id, AgentTask.protocol_id, AgentTask.name, AgentTask.status)
    ranked = (
        select(
            AgentTask.id,
            AgentTask.agent_id,
            AgentTask.name,
            func.row_number().over(partition_by=AgentTask.agent_id, order_by=AgentTask.id).label("place"),
            func.row_number().over(partition_by=same, order_by=AgentTask.id).label("place_of_name"),
        )
        .where(AgentTask.agent_id.in_(agent_ids), AgentTask.status == TaskStatus.QUEUED)
        .subquery()
    )
    is_named = tuple_(ranked.c.agent_id, ranked.c.name).in_(named) & (ranked.c.place_of_name <= most)
    queued = select(ranked.c.id).where(or_(ranked.c.place <= most, is_named))
    running = select(AgentTask.id).where(AgentTask.agent_id.in_(agent_ids), AgentTask.status == TaskStatus.RUNNING)
    return select(AgentTask).where(AgentTask.id.in_(queued.union_all(running))).order_by(AgentTask.id)


def _count_by_agent(reports: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for agent_id, _ in reports:
        counts[agent_id] += 1
    return counts


def _names(fields: dict[str, Any]) -> Collection[str]:
    return {fields["task"], fields["next_task"] or fields["task"]}


def prune(session: Session, agent_id: str) -> None:
    """Delete the oldest closed tasks of an agent beyond the newest 1,000."""
    closed = (AgentTask.agent_id == agent_id, AgentTask.status.in_(CLOSED))
    beyond = select(AgentTask.id).where(*closed).order_by(AgentTask.id.desc()).offset(MAX_CLOSED_TASKS)
    session.execute(
        delete(AgentTask).where(AgentTask.id.in_(beyond.limit(PRUNED_AT_ONCE))),
        execution_options={"synchronize_session": False},
    )
