"""The messages of the AsyncAPI document, each with its examples."""

from app.apidocs import examples
from app.apidocs.converter import Json
from app.apidocs.events import EVENTS
from app.core.examples import PROTOCOL

JSON_TYPE = "application/json"
_REFUSED_CONNECTIONS = (
    "UNAUTHORIZED",
    "INVALID_PROTOCOL",
    "TOO_MANY_CONNECTIONS",
    "REALTIME_UNAVAILABLE",
    "DATABASE_UNAVAILABLE",
    "KEYS_UNAVAILABLE",
    "INTERNAL_ERROR",
)
_REFUSED_EVENTS = (
    "INVALID_PROTOCOL",
    "INVALID_MESSAGE",
    "UNKNOWN_EVENT",
    "FORBIDDEN",
    "RATE_LIMITED",
    "BUSY",
    "UNAUTHORIZED",
    "TOKEN_EXPIRED",
    "TOKEN_REVOKED",
    "REALTIME_UNAVAILABLE",
    "DATABASE_UNAVAILABLE",
    "KEYS_UNAVAILABLE",
    "INTERNAL_ERROR",
)


_OWN_SEQ = (
    "`seq` is this event's own number in its room: one more than that of the event before it. In the answer to "
    "`protocol:join` and in `/state` it is the number of the last event so far."
)


def _message(name: str, schema: str, summary: str, shown: dict[str, Json]) -> Json:
    return {
        "name": name,
        "title": name,
        "summary": summary,
        "contentType": JSON_TYPE,
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "examples": [{"name": each, "summary": each, "payload": payload} for each, payload in shown.items()],
    }


def _refusals(codes: tuple[str, ...]) -> dict[str, Json]:
    words = {
        "UNAUTHORIZED": "The token is not valid.",
        "TOKEN_EXPIRED": "The token has expired.",
        "TOKEN_REVOKED": "The token was revoked.",
        "INVALID_PROTOCOL": "There is no such protocol.",
        "INVALID_MESSAGE": "Send an object with `protocolId`.",
        "UNKNOWN_EVENT": "There is no event 'protocol:enter'.",
        "FORBIDDEN": "The token has another subject: open a new connection.",
        "RATE_LIMITED": "More than 50 events in a second.",
        "BUSY": "Another event of this connection is being handled.",
        "TOO_MANY_CONNECTIONS": "This token has reached its limit of connections.",
        "REALTIME_UNAVAILABLE": "Redis did not answer.",
        "DATABASE_UNAVAILABLE": "The database did not answer.",
        "KEYS_UNAVAILABLE": "The identity provider's keys are out of reach.",
        "INTERNAL_ERROR": "The server failed.",
    }
    return {code: {"code": code, "detail": words[code]} for code in codes}


def messages() -> dict[str, Json]:
    events = {
        key_of(name): _message(name, schema.__name__, str(schema.__doc__), examples.EVENTS[name])
        | {"description": _OWN_SEQ}
        for name, schema in EVENTS.items()
    }
    joined = {"ok": True, "room": f"protocol:{PROTOCOL}", "protocolId": PROTOCOL, "seq": "42"}
    joined["stateUrl"] = f"/api/v1/protocols/{PROTOCOL}/state"
    refused = {code: {"ok": False, "error": each} for code, each in _refusals(_REFUSED_EVENTS).items()}
    handshake = {"token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aWV3ZXItMSJ9.c2ln", "protocolId": PROTOCOL}
    expired, revoked = {"code": "TOKEN_EXPIRED"}, {"code": "TOKEN_REVOKED"}
    renewed = {"ok": True, "protocolId": PROTOCOL}
    return events | {
        "handshake": _message("connect", "Handshake", "The handshake's `auth`.", {"viewer": handshake}),
        "connectError": _message(
            "connect_error", "Refusal", "`message` is the code, `data` is this.", _refusals(_REFUSED_CONNECTIONS)
        ),
        "sessionExpired": _message("session:expired", "SessionExpired", "The token ran out.", {"end": expired}),
        "sessionRevoked": _message("session:revoked", "SessionRevoked", "The token was revoked.", {"end": revoked}),
        "sessionRenew": _message(
            "session:renew", "RenewMessage", "Before the token runs out.", {"renew": {"token": handshake["token"]}}
        ),
        "renewed": _message("ack of session:renew", "RenewedAck", "The connection goes on.", {"ok": renewed}),
        "protocolJoin": _message("protocol:join", "JoinMessage", "Enter a room.", {"join": {"protocolId": PROTOCOL}}),
        "joined": _message(
            "ack of protocol:join", "JoinedAck", "In the room, out of the previous one.", {"ok": joined}
        ),
        "protocolLeave": _message(
            "protocol:leave", "LeaveMessage", "Leave the room. No payload is needed.", {"leave": {}}
        ),
        "left": _message("ack of protocol:leave", "LeftAck", "In no room.", {"ok": {"ok": True}}),
        "refused": _message("ack of a refused event", "RefusedAck", "Nothing has changed.", refused),
    }


def key_of(event_type: str) -> str:
    """`agent:task_update` is `agentTaskUpdate` where the document needs a key."""
    head, *rest = event_type.replace(":", "_").split("_")
    return head + "".join(part.capitalize() for part in rest)
