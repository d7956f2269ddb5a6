"""The task queues of agents, changed within the caller's transaction.

The open tasks of a request's agents are read once and changed in memory: any number of reports needs few statements.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, tuple_
from sqlalchemy.orm import Session

from app.agents.models import CLOSED, AgentTask, TaskStatus
from app.core.database import delete_in_batches, utc_now

MAX_CLOSED_TASKS = 1000
PRUNE_EVERY = 100
PRUNE_BATCH = 500
RETENTION = timedelta(days=90)


class TaskQueues:
    """The open tasks of the agents, tasks and next tasks in `reports`; `changes` counts tasks started or closed."""

    def __init__(self, session: Session, reports: Sequence[tuple[str, str, str | None]]) -> None:
        self._session = session
        self._open: dict[str, list[AgentTask]] = defaultdict(list)
        self._added: list[AgentTask] = []
        self.changes = 0
        for task in session.scalars(_open_tasks(reports)):
            self._open[task.agent_id].append(task)

    def start(self, agent_id: str, protocol_id: str, name: str) -> bool:
        """Make `name` the only running task, taken from the queue or added. False if it is running already."""
        running = [task for task in self._open[agent_id] if task.status == TaskStatus.RUNNING]
        if [(task.protocol_id, task.name) for task in running] == [(protocol_id, name)]:
            return False
        self._supersede(agent_id)
        task = self._find_or_add(agent_id, protocol_id, name)
        task.status, task.started_at = TaskStatus.RUNNING, utc_now()
        self.changes += 1
        return True

    def close(self, agent_id: str, fields: dict[str, Any]) -> None:
        """Close the reported task; any other running task of the agent becomes SUPERSEDED."""
        task = self._find_or_add(agent_id, fields["protocol_id"], fields["task"])
        task.error = fields["error"]
        self._close(task, fields["status"])
        self._supersede(agent_id)
        self.changes += 1

    def next_task(self, agent_id: str, fields: dict[str, Any]) -> tuple[str, str] | None:
        """Protocol and name of the report's `nextTask`, otherwise of the head of the agent's queue, otherwise None."""
        if fields["next_task"]:
            return fields["protocol_id"], fields["next_task"]
        queued = ((task.protocol_id, task.name) for task in self._open[agent_id] if task.status == TaskStatus.QUEUED)
        return next(queued, None)

    def write(self) -> None:
        """Write the changes. Every hundredth new task deletes its agent's closed tasks beyond the newest 1,000."""
        self._session.flush()
        for agent_id in {task.agent_id for task in self._added if task.id % PRUNE_EVERY == 0}:
            closed = select(AgentTask.id).where(AgentTask.agent_id == agent_id, AgentTask.status.in_(CLOSED))
            beyond = closed.order_by(AgentTask.id.desc()).offset(MAX_CLOSED_TASKS).limit(PRUNE_BATCH)
            prune = delete(AgentTask).where(AgentTask.id.in_(beyond))
            self._session.execute(prune, execution_options={"synchronize_session": False})

    def _find_or_add(self, agent_id: str, protocol_id: str, name: str) -> AgentTask:
        """The open task of that name, if possible a running one; otherwise a new one."""
        same = [task for task in self._open[agent_id] if (task.protocol_id, task.name) == (protocol_id, name)]
        if same:
            return min(same, key=lambda task: task.status != TaskStatus.RUNNING)
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
        for task in [each for each in self._open[agent_id] if each.status == TaskStatus.RUNNING]:
            self._close(task, TaskStatus.SUPERSEDED)

    def _close(self, task: AgentTask, status: str) -> None:
        task.status, task.closed_at = status, utc_now()
        self._open[task.agent_id].remove(task)


def _open_tasks(reports: Sequence[tuple[str, str, str | None]]) -> Any:
    """The tasks that the reports can change: running and named ones, and from each queue as many as may be started."""
    counts = Counter(agent_id for agent_id, _, _ in reports)
    max_started, agent_ids = 2 * max(counts.values(), default=0) + 1, sorted(counts)
    named = {(agent_id, name) for agent_id, *names in reports for name in names if name}
    same = (AgentTask.agent_id, AgentTask.protocol_id, AgentTask.name, AgentTask.status)
    ranked = (
        select(
            AgentTask.id,
            AgentTask.agent_id,
            AgentTask.name,
            func.row_number().over(partition_by=AgentTask.agent_id, order_by=AgentTask.id).label("position"),
            func.row_number().over(partition_by=same, order_by=AgentTask.id).label("position_by_name"),
        )
        .where(AgentTask.agent_id.in_(agent_ids), AgentTask.status == TaskStatus.QUEUED)
        .subquery()
    )
    is_named = tuple_(ranked.c.agent_id, ranked.c.name).in_(sorted(named)) & (ranked.c.position_by_name <= max_started)
    queued = select(ranked.c.id).where(or_(ranked.c.position <= max_started, is_named))
    running = select(AgentTask.id).where(AgentTask.agent_id.in_(agent_ids), AgentTask.status == TaskStatus.RUNNING)
    return select(AgentTask).where(AgentTask.id.in_(queued.union_all(running))).order_by(AgentTask.id)


def delete_old(deadline: float) -> int:
    """Delete tasks closed more than 90 days ago, until the monotonic `deadline`; returns how many."""
    return delete_in_batches(AgentTask, AgentTask.closed_at < utc_now() - RETENTION, deadline)
