"""Revoked tokens: the database keeps them, every process holds them in memory and asks once a second for news.

So a request pays nothing for the check, and a revocation counts everywhere within about a second. Redis tells that
there is news (a version number); when it does not answer, or has forgotten, the database is read instead. When neither
answers, what is known stays in force and the failure is counted: what those tokens could still do needs the database.
"""

import logging
import time
from datetime import datetime
from typing import Any, cast

import redis
import uuid_utils.compat as uuid
from flask import current_app
from sqlalchemy import BigInteger, Index, Integer, String, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.tokens import Principal
from app.database import UtcDateTime
from app.errors import Unauthorized
from app.extensions import Base, db, redis_client
from app.observability import metrics

logger = logging.getLogger(__name__)

VERSION_KEY = "auth:revocations"
LOOK_SECONDS = 1.0
LATE_SECONDS = 2.5
RELOAD_SECONDS = 30.0
MOST_REASON = 500


class RevokedToken(Base):
    """Either one token (`token_id`), or all that were issued to `subject` until `revoked_at`."""

    __tablename__ = "revoked_tokens"
    __table_args__ = (Index("ix_revoked_tokens_token_id", "token_id"), Index("ix_revoked_tokens_subject", "subject"))

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    token_id: Mapped[str | None] = mapped_column(String(255))
    subject: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(String(MOST_REASON))
    revoked_by: Mapped[str] = mapped_column(String(128))
    revoked_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Revocations:
    """What this process knows of the revoked tokens; `leeway` is how far other clocks may be ahead, in seconds."""

    def __init__(self, leeway: float) -> None:
        self._leeway = leeway
        self._token_ids: frozenset[str] = frozenset()
        self._subjects: dict[str, float] = {}
        self._looked_at = self._loaded_at = float("-inf")
        self._version: Any = None

    def covers(self, principal: Principal) -> bool:
        """Whether the token was revoked. A subject's tokens are, up to the second of their revocation.

        A clock that is ahead dates its tokens ahead, as far as the leeway grants: those are covered too. So one that is
        issued within the leeway after a revocation is dead; the subject asks again when it is over.
        """
        if principal.token_id in self._token_ids:
            return True
        return principal.issued_at <= self._subjects.get(principal.subject, float("-inf")) + self._leeway

    def check(self, principal: Principal) -> None:
        """Raises Unauthorized. Looks for news itself where no background loop does, as in a worker."""
        if time.monotonic() - self._looked_at > LATE_SECONDS:
            self.look()
        if self.covers(principal):
            raise Unauthorized("The token was revoked.", code="TOKEN_REVOKED")

    def look(self) -> None:
        """Read the revocations again if there are new ones; every 30 s in any case. Never raises."""
        now = self._looked_at = time.monotonic()
        try:
            version: Any = redis_client().get(VERSION_KEY)
        except redis.RedisError:
            version = object()  # unlike any other: the database is asked
        if version == self._version and now - self._loaded_at < RELOAD_SECONDS:
            return
        try:
            self.load()
        except SQLAlchemyError as error:
            metrics.REVOCATION_FAILURES.inc()
            logger.warning("revocations.unavailable", extra={"error": str(error)})
        else:
            self._version, self._loaded_at = version, now

    def load(self) -> None:
        """Read all from the database, on a connection beside the request's own."""
        with db.engine.connect() as connection:
            rows = connection.execute(select(RevokedToken.token_id, RevokedToken.subject, RevokedToken.revoked_at))
            token_ids, subjects = set(), dict[str, float]()
            for token_id, subject, revoked_at in rows:
                if token_id is not None:
                    token_ids.add(token_id)
                if subject is not None:
                    subjects[subject] = max(revoked_at.timestamp(), subjects.get(subject, 0.0))
        self._token_ids, self._subjects = frozenset(token_ids), subjects


def revocations() -> Revocations:
    return cast(Revocations, current_app.extensions["revocations"])


def announce() -> None:
    """After a revocation has committed: this process knows at once, the others within a second."""
    revocations().load()
    try:
        redis_client().set(VERSION_KEY, uuid.uuid4().hex)  # a count could be reached anew after a loss
    except redis.RedisError as error:
        logger.warning("revocations.not_announced", extra={"error": str(error)})
