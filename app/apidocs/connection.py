"""What else goes over Socket.IO, as marshmallow schemas: the handshake, what clients send, acks and refusals."""

from marshmallow import fields, validate

from app.apidocs.events import text
from app.core.schemas import CamelSchema, Identifier, NumberText

_BATCHES = (
    "Take RUNNING updates as one `agent:task_updates` a second for all agents, in place of one event per agent. Such "
    "connections have a `seq` of their own and fetch `/state?agentBatches=true`."
)


class Handshake(CamelSchema):
    """Socket.IO's `auth` object."""

    token = text(metadata={"description": "The JWT, without `Bearer`."})
    protocol_id = Identifier(metadata={"description": "Join this protocol's room before `connect` fires."})
    agent_batches = fields.Boolean(metadata={"description": _BATCHES})


class JoinMessage(CamelSchema):
    """What a client sends to enter a room."""

    protocol_id = Identifier(required=True)
    agent_batches = fields.Boolean(metadata={"description": _BATCHES})


class LeaveMessage(CamelSchema):
    """Nothing to say: a client may send an empty object, or no argument at all."""


class Refusal(CamelSchema):
    """A stable code and a sentence for people."""

    code = text()
    detail = text()


class RefusedAck(CamelSchema):
    """The answer to a client event that was refused; nothing has changed."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([False]))
    error = fields.Nested(Refusal, required=True)


class JoinedAck(CamelSchema):
    """The connection is in the room, and out of its previous one."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([True]))
    room = text()
    protocol_id = text()
    seq = NumberText(
        required=True,
        metadata={"description": "Number of the room's last event so far; the next event's is one higher."},
    )
    state_url = text()


class LeftAck(CamelSchema):
    """The connection is in no room."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([True]))


class RenewMessage(CamelSchema):
    """A fresh token of the same subject, sent before the old one expires."""

    token = text()


class RenewedAck(CamelSchema):
    """The connection goes on; `protocolId` is the room it is still in."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([True]))
    protocol_id = text(allow_none=True)


class SessionExpired(CamelSchema):
    """The token has expired; the connection ends right after."""

    code = text(validate=validate.OneOf(["TOKEN_EXPIRED"]))


class SessionRevoked(CamelSchema):
    """The token was revoked; the connection ends right after."""

    code = text(validate=validate.OneOf(["TOKEN_REVOKED"]))


OTHERS: tuple[type[CamelSchema], ...] = (
    Handshake, JoinMessage, JoinedAck, LeaveMessage, LeftAck, Refusal, RefusedAck, RenewMessage, RenewedAck,
    SessionExpired, SessionRevoked,
)  # fmt: skip
