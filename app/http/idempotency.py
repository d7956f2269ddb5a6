"""Idempotency keys: a repeated POST takes effect once and receives the first response again.

The key's row commits together with the effect, so a crash cannot separate them and a refused request leaves no key:
the service calls `claim_key` first and `store_response` last in its transaction. Without the header both do nothing.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from flask import Response, g, request
from sqlalchemy import JSON, Index, PrimaryKeyConstraint, String, Table, Text, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core.database import delete_in_batches
from app.core.errors import DomainError, IdempotencyKeyInUse, IdempotencyKeyReused, InvalidInput
from app.core.extensions import Base
from app.core.final_writes import Write, write_before_commit
from app.core.schemas import CamelSchema
from app.core.sql_types import UtcDateTime, database_now

if TYPE_CHECKING:  # workers delete old keys without importing flask-smorest
    from app.http.rest import Blueprint

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
RETENTION = timedelta(hours=24)
_TIMEOUT_STATES = {"55P03", "57014"}  # PostgreSQL: lock_timeout and statement_timeout

PARAMETER = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "description": "The same key with the same body gives the first answer again, with "
    "`Idempotent-Replayed: true`; with another body or path: 409. Kept for 24 hours. A request that was refused has "
    "had no effect and leaves no key: it may be sent again with the same key, changed or not.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
}


class IdempotencyKey(Base):
    """A used key of one subject, with the fingerprint of its request and the response."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        PrimaryKeyConstraint("subject", "key", name="pk_idempotency_keys"),
        Index("ix_idempotency_keys_created_at", "created_at"),
    )

    subject: Mapped[str] = mapped_column(String(128))
    key: Mapped[str] = mapped_column(String(MAX_KEY_LENGTH))
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    body: Mapped[str] = mapped_column(Text)
    resume: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # what a repetition needs to finish the work
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


# Every change of money runs these statements; on the table they take a quarter of the time of ORM statements.
_keys = cast(Table, IdempotencyKey.__table__)
_CLAIM = (
    insert(_keys)
    .values(body="", created_at=database_now())
    .on_conflict_do_nothing()  # SQLite has the same clause
    .returning(_keys.c.key)
)


class StoredResponse(Exception):
    """The request took effect before; this is its first response."""

    def __init__(self, status: int, body: str, resume: dict[str, Any] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.resume = status, body, resume or {}


def idempotent(blueprint: "Blueprint", status: int, schema: type[CamelSchema]) -> Callable[..., Any]:
    """Like `blueprint.response`, for a view that takes effect at most once per Idempotency-Key."""
    dump = schema().dump

    def decorate(view: Callable[..., Any]) -> Any:
        @wraps(view)
        def once(*args: Any, **kwargs: Any) -> Any:
            g.idempotency_claim, g.idempotency_dump = _claim_of_request(status), dump
            try:
                result = view(*args, **kwargs)
            except StoredResponse as first:
                response = _response(first.status, first.body)
                response.headers["Idempotent-Replayed"] = "true"
                return response
            body = g.pop("idempotency_body", None)
            return result if body is None else _response(status, body)

        once.idempotent = True  # type: ignore[attr-defined]
        return blueprint.response(status, schema)(blueprint.doc(parameters=[PARAMETER])(once))

    return decorate


def _response(status: int, body: str) -> Response:
    """As `jsonify` writes it."""
    return Response(f"{body}\n", status, content_type="application/json")


def _claim_of_request(status: int) -> dict[str, Any] | None:
    """The values of the row for the request's key. No body equals an empty object; the order of members is ignored."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not all(" " <= char <= "~" for char in key):
        message = f"Must be 1 to {MAX_KEY_LENGTH} printable ASCII characters."
        raise InvalidInput(f"The header {HEADER} is not valid.", fields={HEADER: [message]})
    body = json.dumps(request.get_json(silent=True) or {}, sort_keys=True, separators=(",", ":"))
    fingerprint = hashlib.sha256(f"{request.method} {request.path}\n{body}".encode()).hexdigest()
    return {"subject": g.principal.subject, "key": key, "fingerprint": fingerprint, "status": status}


def is_keyed() -> bool:
    return g.get("idempotency_claim") is not None


def claim_key(session: Session) -> None:
    """Insert the request's key, as the first step of the transaction with the effect.

    A second caller waits here until the first has committed or rolled back (PostgreSQL: at most `lock_timeout`).
    Raises IdempotencyKeyReused, IdempotencyKeyInUse, or StoredResponse if the key already has its response.
    """
    claim = g.get("idempotency_claim")
    if claim is None:
        return
    try:
        claimed = session.execute(_CLAIM, claim).one_or_none()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in _TIMEOUT_STATES:
            raise
        raise _in_use(claim) from error
    if claimed is not None:
        return
    first = session.get(IdempotencyKey, (claim["subject"], claim["key"]), populate_existing=True)
    if first is None:  # deleted as too old since the insert found it
        raise _in_use(claim)
    if first.fingerprint != claim["fingerprint"]:
        raise IdempotencyKeyReused(f"The {HEADER} {claim['key']!r} was used for another request.")
    raise StoredResponse(first.status, first.body, first.resume)


def _in_use(claim: dict[str, Any]) -> DomainError:
    return IdempotencyKeyInUse(f"A request with the {HEADER} {claim['key']!r} is still running.")


def stored_by_0_1(session: Session, count: int) -> set[int]:
    """Which of the `count` terminal updates of a batch release 0.1 stored: it gave each a key of its own."""
    claim, row = g.get("idempotency_claim"), IdempotencyKey
    if claim is None or not count:
        return set()
    parts = {f"{index}:{hashlib.sha256(claim['key'].encode()).hexdigest()}": index for index in range(count)}
    same = (row.subject == claim["subject"], row.fingerprint == claim["fingerprint"], row.key.in_(parts))
    return {parts[key] for key in session.scalars(select(row.key).where(*same))}


def store_response(session: Session, result: Any, resume: dict[str, Any] | None = None) -> None:
    """Store the response with the key, as the last step of the transaction; StoredResponse returns `resume`.

    Without `resume` the stored response is complete, and is the one that is sent.
    """
    claim = g.get("idempotency_claim")
    if claim is None:
        return
    body = json.dumps(g.idempotency_dump(result), separators=(",", ":"))
    response = {"subject": claim["subject"], "key": claim["key"], "body": body, "resume": resume}
    write_before_commit(session, Write(_keys, [response], key=("subject", "key")))
    if resume is None:
        g.idempotency_body = body


def delete_old(deadline: float) -> int:
    """Delete keys older than a day; returns the number of deleted rows."""
    old = IdempotencyKey.created_at < database_now(-RETENTION.total_seconds())
    return delete_in_batches(IdempotencyKey, old, deadline)
