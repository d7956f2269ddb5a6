"""Webhooks, what was expanded for them, and their deliveries."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.extensions import Base
from app.core.sql_types import UtcDateTime
from app.webhooks.rules import DeliveryStatus, WebhookStatus

IS_PENDING = text("status = 'PENDING'")  # SQLite uses a partial index only for the same text
_IS_FINISHED = text("finished_at IS NOT NULL")


def _one_of(statuses: type[WebhookStatus | DeliveryStatus]) -> str:
    return f"status IN ({','.join(repr(each.value) for each in statuses)})"


class Webhook(Base):
    """An endpoint of a protocol's owner.

    `secret`, `previous_secret`: encrypted; the previous one signs as well until `previous_secret_expires_at`.
    `since_position`: the protocol's newest event when the webhook was created; only later ones are delivered.
    `failing_since`: when the first attempt failed since the last success; null while none has.
    `consecutive_failures`, `next_allowed_at`: the endpoint's back-off; by the database's clock.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("ix_webhooks_protocol", "protocol_id", "id"),
        CheckConstraint(_one_of(WebhookStatus), name="ck_webhooks_status"),
    )

    shown_secret = ""  # set when it is made; not stored

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"))
    url: Mapped[str] = mapped_column(String(2048))
    event_types: Mapped[list[str]] = mapped_column(JSON)
    severities: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    description: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    disabled_reason: Mapped[str | None] = mapped_column(String(500))
    secret: Mapped[str] = mapped_column(Text)
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_secret_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    since_position: Mapped[int] = mapped_column(BigInteger)
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    consecutive_failures: Mapped[int] = mapped_column(Integer)
    next_allowed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WebhookCursor(Base):
    """The position up to which a protocol's events were expanded into deliveries; since its first webhook."""

    __tablename__ = "webhook_cursors"

    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocols.id"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)


class WebhookDelivery(Base):
    """One event for one webhook, committed as the protocol's cursor passes the event.

    `id`: also the `webhook-id`, the same for each attempt.
    `position`: the event's in its protocol; null for a test.
    `body`: the JSON text that is sent and signed.
    `attempts`: all attempts that were started; the number of a running one, by which its worker knows it is its own.
    `failures`: failed attempts since the delivery or its redelivery was requested: the step of the schedule.
    `next_attempt_at`: when it is due, `lease_until`: while an attempt runs; null otherwise. By the database's clock.
    `history`: the latest attempts, oldest first: `{at, responseCode, durationMs, error}`.
    `response_code`, `error`, `duration_ms`: of the last finished attempt.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("uq_webhook_deliveries_event", "webhook_id", "position", unique=True),
        Index("ix_webhook_deliveries_webhook", "webhook_id", "id"),
        Index(
            "ix_webhook_deliveries_due",
            "webhook_id",
            "next_attempt_at",
            sqlite_where=IS_PENDING,
            postgresql_where=IS_PENDING,
        ),
        Index(
            "ix_webhook_deliveries_finished", "finished_at", sqlite_where=_IS_FINISHED, postgresql_where=_IS_FINISHED
        ),
        CheckConstraint(_one_of(DeliveryStatus), name="ck_webhook_deliveries_status"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"))
    position: Mapped[int | None] = mapped_column(BigInteger)
    event_type: Mapped[str] = mapped_column(String(32))
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    failures: Mapped[int] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    response_code: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(String(500))
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    history: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
