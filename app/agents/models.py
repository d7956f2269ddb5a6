"""Agents and their tasks. Redis holds the current progress; the database holds each start and end of a task."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.extensions import Base
from app.core.sql_types import UtcDateTime


class AgentType(StrEnum):
    PROTOCOL = "PROTOCOL"
    RESEARCHER = "RESEARCHER"
    VALIDATOR = "VALIDATOR"


class TaskStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"  # the agent started another task without ending this one


OPEN = (TaskStatus.QUEUED, TaskStatus.RUNNING)
CLOSED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.SUPERSEDED)


class Agent(Base):
    """An agent. The columns `task_*` describe the last start or end of a task that was stored."""

    __tablename__ = "agents"
    __table_args__ = (
        Index("ix_agents_task_protocol_id", "task_protocol_id", "id"),
        Index("ix_agents_task_status", "task_protocol_id", "task_status", "task_version"),
        Index("ix_agents_task_version", "task_protocol_id", "task_version"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    task_protocol_id: Mapped[str | None] = mapped_column(ForeignKey("protocols.id"))
    task_data: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    task_status: Mapped[str | None] = mapped_column(String(16))
    task_version: Mapped[int | None] = mapped_column(BigInteger)

    @staticmethod
    def identities(session: Session, ids: list[str]) -> dict[str, tuple[str, str]]:
        """The names and types of those that are stored, by id."""
        rows = session.execute(_IDENTITIES, {"ids": ids}).tuples() if ids else ()
        return {agent_id: (name, kind) for agent_id, name, kind in rows}

    @staticmethod
    def states(session: Session, ids: list[str]) -> dict[str, dict[str, Any]]:
        """The stored states, by id."""
        return dict(session.execute(_STATES, {"ids": ids}).tuples().all()) if ids else {}


# Built once, on the table: a thousand ids in a statement of the model take three times as long.
_agents = Agent.__table__.c
_is_named = _agents.id.in_(bindparam("ids", expanding=True))
_IDENTITIES = select(_agents.id, _agents.name, _agents.type).where(_is_named)
_STATES = select(_agents.id, _agents.task_data).where(_is_named, _agents.task_data.is_not(None))


class AgentTask(Base):
    """A task of an agent; the queue is ordered by `id`."""

    __tablename__ = "agent_tasks"
    __table_args__ = (
        Index("ix_agent_tasks_agent_status", "agent_id", "status", "id"),
        Index("ix_agent_tasks_closed_at", "closed_at"),
        CheckConstraint(
            "status IN ('QUEUED','RUNNING','COMPLETED','FAILED','SUPERSEDED')", name="ck_agent_tasks_status"
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"))
    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"))
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
