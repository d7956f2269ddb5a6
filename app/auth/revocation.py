"""Revoked tokens: stored in the database, held in every process's memory, and refreshed once a second.

So the check costs a request nothing. A random version in Redis changes with each revocation; when Redis fails or has
lost it, the database is read instead: all rows once, in pages, and later only those with a higher id. When both fail,
the known revocations stay in force: what other revoked tokens could do needs the database as well.
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
from app.core.concurrency import SingleFlight
from app.core.database import delete_in_batches, utc_now
from app.core.errors import TokenRevoked
from app.core.extensions import Base, db, redis_client
from app.core.sql_types import UtcDateTime
from app.observability import metrics

logger = logging.getLogger(__name__)

VERSION_KEY = "auth:revocations"
REFRESH_SECONDS = 1.0
STALE_SECONDS = 2.5
RELOAD_SECONDS = 30.0
CLEANUP_SECONDS = 600.0
MAX_REASON = 500
PAGE_ROWS = 1000
OVERLAP_ROWS = 1000
DELETION_MARGIN = timedelta(days=1)


class RevokedToken(Base):
    """Either one token (`token_id`), or all tokens issued to `subject` until `revoked_at`."""

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
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # no token that the row names is valid later


def expiry_of(revoked_at: datetime, expires_at: datetime | None = None) -> datetime:
    """When the revoked tokens have expired: at the token's own `exp`, or after the longest life of a token."""
    latest = revoked_at + timedelta(seconds=MAX_LIFE_SECONDS)
    return min(expires_at or latest, latest)


def delete_expired(deadline: float) -> int:
    """Delete revocations of tokens that expired more than a day ago; returns the number of deleted rows."""
    return delete_in_batches(RevokedToken, RevokedToken.expires_at < utc_now() - DELETION_MARGIN, deadline)


class Revocations:
    """The revoked tokens known to this process; `leeway` is how far other clocks may be ahead, in seconds."""

    def __init__(self, leeway: float) -> None:
        self._leeway = leeway
        self._token_ids: dict[str, float] = {}  # with the time until which each is kept
        self._subjects: dict[str, float] = {}
        self._last_id = 0
        self._refreshed_at = self._loaded_at = self._cleaned_at = float("-inf")
        self._version: Any = None
        self._first_reading: SingleFlight[None] = SingleFlight()
        self._loading, self._reading = threading.Lock(), threading.Lock()

    @property
    def is_loaded(self) -> bool:
        return self._loaded_at > float("-inf")

    def is_revoked(self, principal: Principal) -> bool:
        """Whether the token was revoked, by itself or with all tokens of its subject.

        An issuer's clock may be ahead by up to the leeway, so a subject's tokens issued within the leeway after the
        revocation are refused as well; the subject gets a valid one later.
        """
        revoked_at = self._subjects.get(principal.subject, float("-inf"))
        return principal.token_id in self._token_ids or principal.issued_at <= revoked_at + self._leeway

    def check(self, principal: Principal) -> None:
        """Raises Unauthorized. Refreshes first where no background loop does, as in a worker."""
        if time.monotonic() - self._refreshed_at > STALE_SECONDS:
            self.refresh()
        if self.is_revoked(principal):
            raise TokenRevoked

    def refresh(self) -> None:
        """Read new revocations, from the database every 30 s in any case. Raises no error of Redis or the database.

        Callers wait for the first reading, which they share; during later ones they go on with the known revocations.
        Raises DependencyUnavailable if the first takes longer than ten seconds.
        """
        if not self.is_loaded:
            self._first_reading.share("", self._refresh)
        elif self._loading.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._loading.release()

    def _refresh(self) -> None:
        now = time.monotonic()
        if not self.is_loaded and now - self._refreshed_at < REFRESH_SECONDS:
            return  # another caller has tried just now
        try:
            version: Any = redis_client().get(VERSION_KEY)
        except redis.RedisError:
            version = object()  # differs from any known version, so the database is read
        if version != self._version or now - self._loaded_at >= RELOAD_SECONDS:
            try:
                self.load()
            except SQLAlchemyError as error:
                metrics.REVOCATION_FAILURES.inc()
                logger.warning("revocations.load_failed", extra={"error": str(error)})
            else:
                self._version, self._loaded_at = version, now
        self._refreshed_at = time.monotonic()

    def load(self) -> None:
        """Read new rows, on a connection of its own.

        Ids are assigned before rows are committed, so the last thousand are read again. When the highest id is lower
        than before, an older database has been restored, and all of it is read. One thread at a time.
        """
        with self._reading:
            self._load()

    def _load(self) -> None:
        with db.engine.connect() as connection:
            highest = connection.execute(select(func.max(RevokedToken.id))).scalar() or 0
        if highest < self._last_id:
            self._last_id = 0
        after = max(0, self._last_id - OVERLAP_ROWS)
        while rows := _read_page(after):
            for row in rows:
                until = (row.expires_at or expiry_of(row.revoked_at)).timestamp()
                if row.token_id is not None:
                    self._token_ids[row.token_id] = max(until, self._token_ids.get(row.token_id, 0.0))
                if row.subject is not None:
                    self._subjects[row.subject] = max(row.revoked_at.timestamp(), self._subjects.get(row.subject, 0.0))
            after = rows[-1].id
            time.sleep(0)  # lets green threads run: the first reading may have many pages
        self._last_id = max(after, highest)
        self._clean_up()

    def _clean_up(self) -> None:
        """Remove from memory what the database may have deleted."""
        if time.monotonic() - self._cleaned_at < CLEANUP_SECONDS:
            return
        self._cleaned_at = time.monotonic()
        oldest = time.time() - DELETION_MARGIN.total_seconds()
        self._token_ids = {token_id: until for token_id, until in self._token_ids.items() if until > oldest}
        self._subjects = {subject: at for subject, at in self._subjects.items() if at + MAX_LIFE_SECONDS > oldest}


def _read_page(after: int) -> list[Any]:
    row = RevokedToken
    query = select(row.id, row.token_id, row.subject, row.revoked_at, row.expires_at)
    with db.engine.connect() as connection:
        return list(connection.execute(query.where(row.id > after).order_by(row.id).limit(PAGE_ROWS)))


def revocations() -> Revocations:
    return cast(Revocations, current_app.extensions["revocations"])


def announce() -> None:
    """Make a committed revocation known: in this process at once, in the others within a second."""
    revocations().load()
    try:
        redis_client().set(VERSION_KEY, uuid.uuid4().hex)  # a counter could repeat after Redis lost it
    except redis.RedisError as error:
        logger.warning("revocation.announcement_failed", extra={"error": str(error)})
