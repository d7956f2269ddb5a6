"""The AsyncAPI 3.0 document of the Socket.IO side. No library makes one from marshmallow: it is put together here,
over the same converter that makes the OpenAPI document's schemas."""

import copy

from app.apidocs import messages
from app.apidocs.connection import OTHERS
from app.apidocs.converter import Json, schemas_of
from app.apidocs.events import CONDITIONS, EVENTS
from app.core.examples import PROTOCOL
from app.core.schemas import ID_PATTERN

_ABOUT = """Socket.IO (protocol 5 on Engine.IO 4), namespace `/`, path `/socket.io`. The address of a channel is the
name of the Socket.IO room, or `/` for the connection itself; the name of a message is the name of the Socket.IO event.

**Every number is a string, at any depth.** Events carry state and a `version`: a lost or repeated one heals itself.

**No event is replayed.** `seq` rises by one with each event of a room; a client that sees a jump has missed events and
fetches `GET /api/v1/protocols/{id}/state`. At most 10 events a second reach a room, at most one a second tells of the
same agent; what must wait is sent in order, at most 100 wait, and the oldest is dropped when there are more.

**Several web processes behind one port** (`--web N`): use the WebSocket transport."""


_CONNECTION_MESSAGES = (
    "handshake", "connectError", "protocolJoin", "joined", "protocolLeave", "left", "sessionRenew", "renewed",
    "refused", "sessionExpired", "sessionRevoked",
)  # fmt: skip


def document() -> Json:
    """The whole document, made anew."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:dashboard:realtime",
        "info": _info(),
        "defaultContentType": messages.JSON_TYPE,
        "servers": {"this": _server()},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": messages.messages(),
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "In the handshake's `auth.token`, not in a header.",
                }
            },
        },
    }


def _info() -> Json:
    return {
        "title": "Dashboard Realtime events",
        "version": "v1",
        "description": _ABOUT,
        "contact": {"name": "The operators of this server"},
        "license": {"name": "As agreed with the operators"},
        "tags": [
            {"name": "events", "description": "What the server tells"},
            {"name": "rooms", "description": "Who hears it"},
        ],
    }


def _server() -> Json:
    return {
        "host": "{host}",
        "pathname": "/socket.io",
        "protocol": "ws",
        "protocolVersion": "13",
        "description": "Socket.IO over WebSocket; `wss` behind TLS. Long polling works too where connections stick.",
        "variables": {"host": {"default": "127.0.0.1:5000", "description": "Where this server listens."}},
        "security": [{"$ref": "#/components/securitySchemes/token"}],
        "tags": [{"name": "socket.io"}],
    }


def _schemas() -> dict[str, Json]:
    schemas = copy.deepcopy(schemas_of(*EVENTS.values(), *OTHERS))
    for schema in schemas.values():
        schema.pop("additionalProperties", None)  # members may be added: clients pass over what they do not know
    for name, conditions in CONDITIONS.items():
        schemas[name]["allOf"] = conditions
    return dict(sorted(schemas.items()))


def _refer(*keys: str) -> Json:
    return {key: {"$ref": f"#/components/messages/{key}"} for key in keys}


def _channels() -> Json:
    return {
        "room": {
            "address": "protocol:{protocolId}",
            "title": "A protocol's room",
            "description": "Events of one protocol, in the order of `seq`. A connection is in at most one such room.",
            "parameters": {"protocolId": {"description": f"The protocol: `{ID_PATTERN}`.", "examples": [PROTOCOL]}},
            "messages": _refer(*map(messages.key_of, EVENTS)),
            "tags": [{"name": "events"}],
        },
        "connection": {
            "address": "/",
            "title": "The connection itself",
            "description": "The namespace `/`: the handshake, entering and leaving rooms, and the end of a session.",
            "messages": _refer(*_CONNECTION_MESSAGES),
            "tags": [{"name": "rooms"}],
        },
    }


def _operation(action: str, channel: str, summary: str, *told: str, reply: tuple[str, ...] = ()) -> Json:
    place = f"#/channels/{channel}"
    operation: Json = {
        "action": action,
        "channel": {"$ref": place},
        "title": summary,
        "summary": summary,
        "description": summary + ".",
        "messages": [{"$ref": f"{place}/messages/{each}"} for each in told],
        "tags": [{"name": "events" if channel == "room" else "rooms"}],
    }
    if reply:
        replies = [{"$ref": f"{place}/messages/{each}"} for each in reply]
        operation["reply"] = {"channel": {"$ref": place}, "messages": replies}
    return operation


def _operations() -> Json:
    """As the server sees it: it sends events and receives joins."""
    told = {
        f"send{messages.key_of(name)[0].upper()}{messages.key_of(name)[1:]}": _operation(
            "send", "room", f"Tell of {name}", messages.key_of(name)
        )
        for name in EVENTS
    }
    return told | {
        "receiveHandshake": _operation(
            "receive", "connection", "Let a connection in, or refuse it", "handshake", reply=("connectError",)
        ),
        "receiveProtocolJoin": _operation(
            "receive", "connection", "Move the connection to a room", "protocolJoin", reply=("joined", "refused")
        ),
        "receiveProtocolLeave": _operation(
            "receive", "connection", "Take the connection out of its room", "protocolLeave", reply=("left", "refused")
        ),
        "receiveSessionRenew": _operation(
            "receive", "connection", "Go on under a fresh token", "sessionRenew", reply=("renewed", "refused")
        ),
        "sendSessionRevoked": _operation(
            "send", "connection", "End a connection whose token was revoked", "sessionRevoked"
        ),
        "sendSessionExpired": _operation(
            "send", "connection", "End a connection whose token has expired", "sessionExpired"
        ),
    }
