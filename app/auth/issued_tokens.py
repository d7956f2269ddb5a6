"""The tokens that an admin issued by REST, without the tokens themselves: who may hold what, until it expires."""

from datetime import datetime, timedelta

from sqlalchemy import JSON, BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import delete_in_batches, utc_now
from app.core.extensions import Base
from app.core.sql_types import UtcDateTime

DELETION_MARGIN = timedelta(days=1)


class IssuedToken(Base):
    __tablename__ = "issued_tokens"
    __table_args__ = (
        Index("ix_issued_tokens_subject", "subject", "id"),
        Index("ix_issued_tokens_expires_at", "expires_at"),
    )

    revoked = False  # set by the list; not stored

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    token_id: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    protocols: Mapped[list[str]] = mapped_column(JSON)
    issued_by: Mapped[str] = mapped_column(String(128))
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


def delete_expired(deadline: float) -> int:
    """Delete the rows of tokens that expired more than a day ago; returns the number of deleted rows."""
    return delete_in_batches(IssuedToken, IssuedToken.expires_at < utc_now() - DELETION_MARGIN, deadline)
