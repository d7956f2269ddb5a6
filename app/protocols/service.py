"""Protocols are created and read, never deleted, so that their existence can be cached."""

import logging
from typing import Any

import redis
import uuid_utils.compat as uuid
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.auth.authorization import unknown_protocol
from app.auth.tokens import Principal
from app.bounties.service import open_pool
from app.core.database import transaction, utc_now
from app.core.errors import AlreadyExists
from app.core.extensions import db, known_ids
from app.core.pagination import Page, page_by_key
from app.protocols.models import Protocol
from app.realtime import limiter
from app.realtime.outbox import EventCounter

logger = logging.getLogger(__name__)


def create(fields: dict[str, Any]) -> Protocol:
    """Store a new protocol. Raises AlreadyExists."""
    protocol = Protocol(
        id=fields["id"] or str(uuid.uuid7()), name=fields["name"], currency=fields["currency"], created_at=utc_now()
    )
    try:
        with transaction() as session:
            session.add(protocol)
            session.flush()
            session.add(EventCounter(protocol_id=protocol.id, position=0))
            open_pool(session, protocol.id, protocol.currency)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a protocol {protocol.id!r} already.") from error
    _open_room(protocol.id)
    return protocol


def _open_room(protocol_id: str) -> None:
    try:
        limiter.open_room(protocol_id)
    except redis.RedisError as error:
        logger.warning("room.opening_failed", extra={"protocolId": protocol_id, "error": str(error)})


def get(protocol_id: str) -> Protocol:
    """Raises NotFound."""
    protocol = db.session.get(Protocol, protocol_id)
    if protocol is None:
        raise unknown_protocol(protocol_id)
    return protocol


def check_exists(protocol_id: str) -> None:
    """Raises NotFound; reads the database once per protocol and process."""
    if protocol_id not in known_ids("protocol"):
        get(protocol_id)
        known_ids("protocol")[protocol_id] = True


def list_for(principal: Principal, limit: int, cursor: list[Any] | None) -> Page:
    """The protocols that the token grants, by id."""
    query = select(Protocol)
    if not principal.sees_all:
        query = query.where(Protocol.id.in_(principal.protocols))
    return page_by_key(query, Protocol.id, limit, cursor, is_ascending=True)
