"""Deletes old tasks of agents, and from Redis the reported states of agents that stopped reporting."""

import time
from datetime import timedelta

from sqlalchemy import select

from app.agents.models import AgentTask
from app.core.database import delete_in_batches, utc_now
from app.core.extensions import db
from app.protocols.models import Protocol
from app.realtime import scripts

TASK_RETENTION = timedelta(days=90)
SILENT_AFTER = timedelta(days=7)
BATCH_SIZE = 500


def delete_old_tasks(deadline: float) -> int:
    """Delete tasks closed more than 90 days ago; returns how many. `task_queue` bounds the younger ones."""
    return delete_in_batches(AgentTask, AgentTask.closed_at < utc_now() - TASK_RETENTION, deadline)


def forget_silent(deadline: float) -> int:
    """Remove from each room in Redis the states of agents that sent no report for a week; returns how many.

    The database keeps the last start or end of each agent's task. Raises redis.RedisError.
    """
    removed, last_id = 0, ""
    page = select(Protocol.id).order_by(Protocol.id).limit(BATCH_SIZE)
    while time.monotonic() < deadline:
        protocol_ids = list(db.session.scalars(page.where(Protocol.id > last_id)))
        db.session.rollback()
        for last_id in protocol_ids:
            removed += _forget_silent_in(last_id, deadline)
        if len(protocol_ids) < BATCH_SIZE:
            break
    return removed


def _forget_silent_in(protocol_id: str, deadline: float) -> int:
    silent_us, removed = int(SILENT_AFTER.total_seconds() * 1e6), 0
    while time.monotonic() < deadline:
        batch = int(scripts.run("forget_silent_agents", protocol_id, silent_us, BATCH_SIZE))
        removed += batch
        if batch < BATCH_SIZE:
            break
    return removed
