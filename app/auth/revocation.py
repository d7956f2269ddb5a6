"""Revoked tokens: the database keeps them, every process holds them in memory and asks once a second for news.

So a request pays nothing for the check, and a revocation counts everywhere within about a second. Redis tells that
there is news (a version number); when it does not answer, or has forgotten, the database is asked instead. A process
reads all rows once, in pages, and from then on those with a higher id. When neither answers, what is known stays in
force and the failure is counted: what those tokens could still do needs the database.

A row is deleted when the tokens it names have expired by themselves (`delete_expired`).
"""

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import Any, cast

import redis
import uuid_utils.compat as uuid
from flask import current_app
from sqlalchemy import BigInteger, Index, Integer, String, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.tokens import MAX_LIFE_SECONDS, Principal
from app.core.database import UtcDateTime, delete_in_batches, utc_now
from app.core.errors import TokenRevoked
from app.core.extensions import Base, db, redis_client
from app.observability import metrics

logger = logging.getLogger(__name__)

VERSION_KEY = "auth:revocations"
LOOK_SECONDS = 1.0
LATE_SECONDS = 2.5
RELOAD_SECONDS = 30.0
FORGET_SECONDS = 600.0
MAX_REASON = 500
PAGE = 1000
OVERLAP = 1000
MARGIN = timedelta(days=1)


class RevokedToken(Base):
    """Either one token (`token_id`), or all that were issued to `subject` until `revoked_at`.

    `expires_at`: when no token that this row names can be valid any more.
    """

    __tablename__ = "revoked_tokens"
    __table_args__ = (
        Index("ix_revoked_tokens_token_id", "token_id"),
        Index("ix_revoked_tokens_subject", "subject"),
        Index("ix_revoked_tokens_expires_at", "expires_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    token_id: Mapped[str | None] = mapped_column(String(255))
    subject: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(String(MAX_REASON))
    revoked_by: Mapped[str] = mapped_column(String(128))
    revoked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def expiry_of(revoked_at: datetime, expires_at: datetime | None = None) -> datetime:
    """When a revocation may be forgotten: when its token has expired, or every token issued before it has."""
    latest = revoked_at + timedelta(seconds=MAX_LIFE_SECONDS)
    return latest if expires_at is None else min(expires_at, latest)


def delete_expired(deadline: float) -> int:
    """Forget the revocations of tokens that expired more than a day ago; returns how many rows are gone."""
    return delete_in_batches(RevokedToken, RevokedToken.expires_at < utc_now() - MARGIN, deadline)


class Revocations:
    """What this process knows of the revoked tokens; `leeway` is how far other clocks may be ahead, in seconds."""

    def __init__(self, leeway: float) -> None:
        self._leeway = leeway
        self._token_ids: dict[str, float] = {}  # and when each may be forgotten
        self._subjects: dict[str, float] = {}
        self._last_id = 0
        self._looked_at = self._loaded_at = self._forgot_at = float("-inf")
        self._version: Any = None
        self._loading = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        return self._loaded_at > float("-inf")

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
            raise TokenRevoked

    def look(self) -> None:
        """Read new revocations if there are any; ask the database every 30 s in any case. Never raises.

        Callers that come during the first reading wait for it; later ones go on with what is known.
        """
        if not self._loading.acquire(blocking=not self.is_loaded):
            return
        try:
            self._look()
        finally:
            self._loading.release()

    def _look(self) -> None:
        now = time.monotonic()
        if not self.is_loaded and now - self._looked_at < LOOK_SECONDS:
            return  # another caller has just tried
        try:
            version: Any = redis_client().get(VERSION_KEY)
        except redis.RedisError:
            version = object()  # unlike any other: the database is asked
        if version != self._version or now - self._loaded_at >= RELOAD_SECONDS:
            self._load(version)
        self._looked_at = time.monotonic()

    def _load(self, version: Any) -> None:
        started_at = time.monotonic()
        try:
            self.load()
        except SQLAlchemyError as error:
            metrics.REVOCATION_FAILURES.inc()
            logger.warning("revocations.unavailable", extra={"error": str(error)})
        else:
            self._version, self._loaded_at = version, started_at

    def load(self) -> None:
        """Read what is new, on a connection beside the request's own.

        Ids are given before rows are committed, so the last thousand are read again. Rows are missing where the highest
        known id is: the database is an older one, and all of it is read.
        """
        with db.engine.connect() as connection:
            highest = connection.execute(select(func.max(RevokedToken.id))).scalar() or 0
        if highest < self._last_id:
            self._last_id = 0
        after = max(0, self._last_id - OVERLAP)
        while rows := _page(after):
            for row in rows:
                self._learn(row)
            after = rows[-1].id
            time.sleep(0)  # others' turn: the first reading may have many pages
        self._last_id = max(after, highest)
        self._forget()

    def _learn(self, row: Any) -> None:
        until = (row.expires_at or expiry_of(row.revoked_at)).timestamp()
        if row.token_id is not None:
            self._token_ids[row.token_id] = max(until, self._token_ids.get(row.token_id, 0.0))
        if row.subject is not None:
            self._subjects[row.subject] = max(row.revoked_at.timestamp(), self._subjects.get(row.subject, 0.0))

    def _forget(self) -> None:
        """Drop from memory what the database may have dropped."""
        now = time.monotonic()
        if now - self._forgot_at < FORGET_SECONDS:
            return
        self._forgot_at = now
        over = time.time() - MARGIN.total_seconds()
        self._token_ids = {token_id: until for token_id, until in self._token_ids.items() if until > over}
        oldest = over - MAX_LIFE_SECONDS
        self._subjects = {subject: at for subject, at in self._subjects.items() if at > oldest}


def _page(after: int) -> list[Any]:
    columns = (
        RevokedToken.id, RevokedToken.token_id, RevokedToken.subject, RevokedToken.revoked_at, RevokedToken.expires_at,
    )  # fmt: skip
    query = select(*columns).where(RevokedToken.id > after).order_by(RevokedToken.id).limit(PAGE)
    with db.engine.connect() as connection:
        return list(connection.execute(query))


def revocations() -> Revocations:
    return cast(Revocations, current_app.extensions["revocations"])


def announce() -> None:
    """After a revocation has committed: this process knows at once, the others within a second."""
    revocations().load()
    try:
        redis_client().set(VERSION_KEY, uuid.uuid4().hex)  # a count could be reached anew after a loss
    except redis.RedisError as error:
        logger.warning("revocations.not_announced", extra={"error": str(error)})
