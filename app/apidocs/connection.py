"""Schemas of the other Socket.IO messages, for AsyncAPI: handshake, client events, acknowledgements and errors."""

from typing import Any

from marshmallow import fields, validate

from app.core.schemas import CamelSchema, Identifier, NumberText, doc
from app.core.values import PROTOCOL

_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aWV3ZXItMSJ9.c2ln"  # noqa: S105 - an example
_CODE = "A stable code: decide by it, not by the text."


def _text(description: str, example: str, **options: Any) -> fields.String:
    return fields.String(required=True, metadata=doc(description, example), **options)


def _ok(*, value: bool) -> fields.Boolean:
    return fields.Boolean(
        required=True, validate=validate.OneOf([value]), metadata=doc("Whether the request succeeded.")
    )


def _agent_batches() -> fields.Boolean:
    text = (
        "Receive RUNNING updates as one `agent:task_updates` a second for all agents instead of one event per agent. "
        "Such connections have a separate `seq` and fetch `/state?agentBatches=true`."
    )
    return fields.Boolean(metadata=doc(text, False))


class Handshake(CamelSchema):
    """Socket.IO's `auth` object."""

    token = _text("The JWT, without `Bearer`.", _TOKEN)
    protocol_id = Identifier(metadata=doc("Join the room of this protocol before `connect` fires.", PROTOCOL))
    agent_batches = _agent_batches()


class JoinMessage(CamelSchema):
    """A request to join a room."""

    protocol_id = Identifier(required=True, metadata=doc("Id of the protocol.", PROTOCOL))
    agent_batches = _agent_batches()


class LeaveMessage(CamelSchema):
    """A request to leave the room: an empty object, or no argument at all."""


class Refusal(CamelSchema):
    """Why a request was refused."""

    code = _text(_CODE, "INVALID_PROTOCOL")
    detail = _text("The reason as a sentence.", "There is no such protocol.")


class RefusedAck(CamelSchema):
    """The answer to a client event that was refused; nothing has changed."""

    ok = _ok(value=False)
    error = fields.Nested(Refusal, required=True)


class JoinedAck(CamelSchema):
    """The connection is in the room, and no longer in its previous one."""

    ok = _ok(value=True)
    room = _text("The Socket.IO room.", "protocol:aave-v3")
    protocol_id = _text("Id of the protocol.", PROTOCOL)
    seq = NumberText(
        required=True, metadata=doc("Number of the room's last event; the next event's number is one higher.", "42")
    )
    state_url = _text("Path of the snapshot.", "/api/v1/protocols/aave-v3/state")


class LeftAck(CamelSchema):
    """The connection is in no room."""

    ok = _ok(value=True)


class RenewMessage(CamelSchema):
    """A new token of the same subject, sent before the old one expires."""

    token = _text("The new JWT.", _TOKEN)


class RenewedAck(CamelSchema):
    """The connection continues with the new token."""

    ok = _ok(value=True)
    protocol_id = _text("The protocol whose room the connection is still in; null for none.", PROTOCOL, allow_none=True)


class SessionExpired(CamelSchema):
    """The token has expired; the connection ends immediately afterwards."""

    code = _text(_CODE, "TOKEN_EXPIRED", validate=validate.OneOf(["TOKEN_EXPIRED"]))


class SessionRevoked(CamelSchema):
    """The token was revoked; the connection ends immediately afterwards."""

    code = _text(_CODE, "TOKEN_REVOKED", validate=validate.OneOf(["TOKEN_REVOKED"]))


MESSAGES: tuple[type[CamelSchema], ...] = (
    Handshake, JoinMessage, JoinedAck, LeaveMessage, LeftAck, Refusal, RefusedAck, RenewMessage, RenewedAck,
    SessionExpired, SessionRevoked,
)  # fmt: skip
