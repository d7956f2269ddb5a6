"""Tickets for clients that cannot send headers, as browsers' EventSource: good once, for 30 s and one protocol.

Any web process accepts them: Redis holds the token's claims under the hash of the ticket. A token itself is refused in
a URL, which proxies and browsers keep in their logs and histories.
"""

import hashlib
import secrets
import time
from datetime import datetime, timedelta
from typing import Any

import msgspec
from flask import request

from app.auth.authorization import authenticate_bearer
from app.auth.permissions import Role
from app.auth.revocation import revocations
from app.auth.tokens import Principal
from app.core.database import utc_now
from app.core.errors import InvalidTicket, TokenExpired, TokenInUrl
from app.core.extensions import config, redis_client

TICKET_SECONDS = 30
TICKET_BYTES = 24
MAX_TICKET_LENGTH = 64
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def issue(caller: Principal, protocol_id: str) -> dict[str, Any]:
    """A new ticket for the caller. Raises redis.RedisError."""
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    claims = {
        "subject": caller.subject,
        "role": caller.role,
        "expires_at": caller.expires_at,
        "token_id": caller.token_id,
        "issued_at": caller.issued_at,
    }
    expires_at: datetime = utc_now() + timedelta(seconds=TICKET_SECONDS)
    redis_client().set(_key(ticket, protocol_id), msgspec.json.encode(claims), ex=TICKET_SECONDS)
    return {"ticket": ticket, "expires_at": expires_at}


def authenticate_stream() -> Principal:
    """The principal of the request's ticket or `Authorization` header. Raises Unauthorized, redis.RedisError."""
    if request.args.get("token") or request.args.get("access_token"):
        raise TokenInUrl
    ticket = request.args.get("ticket")
    return _redeem(ticket, (request.view_args or {})["protocol_id"]) if ticket else authenticate_bearer()


authenticate_stream.security_schemes = ("bearer", "ticket")  # type: ignore[attr-defined] # for the API document


def _redeem(ticket: str, protocol_id: str) -> Principal:
    found: Any = redis_client().getdel(_key(ticket, protocol_id)) if len(ticket) <= MAX_TICKET_LENGTH else None
    if found is None:
        raise InvalidTicket
    claims = _decode(found)
    principal = Principal(**claims | {"role": Role(claims["role"]), "protocols": frozenset({protocol_id})})
    if principal.expires_at + config().token_leeway <= time.time():
        raise TokenExpired
    revocations().check(principal)
    return principal


def _key(ticket: str, protocol_id: str) -> str:
    return "stream-ticket:" + hashlib.sha256(f"{protocol_id}\n{ticket}".encode()).hexdigest()
