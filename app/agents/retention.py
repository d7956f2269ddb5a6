"""What is forgotten of agents: tasks closed long ago, and what Redis knows of agents not heard of for long."""

import time
from datetime import timedelta

from sqlalchemy import select

from app.agents.models import AgentTask
from app.core.database import delete_in_batches, utc_now
from app.core.extensions import db
from app.protocols.models import Protocol
from app.realtime import scripts

KEPT = timedelta(days=90)
SILENT = timedelta(days=7)
PAGE = 500


def delete_old_tasks(deadline: float) -> int:
    """Delete tasks that were closed 90 days ago; returns how many. An agent keeps 1,000 younger ones (`worklist`)."""
    return delete_in_batches(AgentTask, AgentTask.closed_at < utc_now() - KEPT, deadline)


def forget_silent(deadline: float) -> int:
    """Remove from each room in Redis what agents reported last that were not heard there for a week; returns how many.

    The database keeps the last start or end of each agent's task. Raises redis.RedisError.
    """
    silent_us, removed, last = int(SILENT.total_seconds() * 1e6), 0, ""
    page = select(Protocol.id).order_by(Protocol.id).limit(PAGE)
    while time.monotonic() < deadline:
        protocol_ids = list(db.session.scalars(page.where(Protocol.id > last)))
        db.session.rollback()
        for last in protocol_ids:
            removed += _forget_in(last, silent_us, deadline)
        if len(protocol_ids) < PAGE:
            break
    return removed


def _forget_in(protocol_id: str, silent_us: int, deadline: float) -> int:
    removed = 0
    while time.monotonic() < deadline:
        batch = int(scripts.run("forget_silent_agents", protocol_id, silent_us, PAGE))
        removed += batch
        if batch < PAGE:
            break
    return removed
