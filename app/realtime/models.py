"""Tables of the outbox."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import UtcDateTime
from app.core.extensions import Base


def _only_where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class EventCounter(Base):
    """The position of the newest stored event of a protocol."""

    __tablename__ = "event_counters"

    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, default=0)


class OutboxEvent(Base):
    """A stored event; `published_at` is empty until the relay has emitted it into its room."""

    __tablename__ = "outbox_events"
    __table_args__ = (
        Index("uq_outbox_position", "protocol_id", "position", unique=True),
        Index("ix_outbox_unpublished", "protocol_id", "position", **_only_where("published_at IS NULL")),
        Index("ix_outbox_published_at", "published_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"))
    position: Mapped[int] = mapped_column(BigInteger)
    event_type: Mapped[str]
    data_json: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
