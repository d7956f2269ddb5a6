"""What else goes over Socket.IO, as marshmallow schemas: the handshake, what clients send, acks and refusals."""

from marshmallow import fields, validate

from app.apidocs.events import text
from app.core.examples import PROTOCOL
from app.core.schemas import CamelSchema, Identifier, NumberText, doc

_BATCHES = (
    "Take RUNNING updates as one `agent:task_updates` a second for all agents, in place of one event per agent. Such "
    "connections have a `seq` of their own and fetch `/state?agentBatches=true`."
)


class Handshake(CamelSchema):
    """Socket.IO's `auth` object."""

    token = text(metadata=doc("The JWT, without `Bearer`.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aWV3ZXItMSJ9.c2ln"))
    protocol_id = Identifier(metadata=doc("Join this protocol's room before `connect` fires.", PROTOCOL))
    agent_batches = fields.Boolean(metadata=doc(_BATCHES, False))


class JoinMessage(CamelSchema):
    """What a client sends to enter a room."""

    protocol_id = Identifier(required=True, metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    agent_batches = fields.Boolean(metadata=doc(_BATCHES, False))


class LeaveMessage(CamelSchema):
    """Nothing to say: a client may send an empty object, or no argument at all."""


class Refusal(CamelSchema):
    """A stable code and a sentence for people."""

    code = text(metadata=doc("Why, as a code that never changes: decide by it, not by the words.", "INVALID_PROTOCOL"))
    detail = text(metadata=doc("The refusal in words.", "There is no such protocol."))


class RefusedAck(CamelSchema):
    """The answer to a client event that was refused; nothing has changed."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([False]), metadata=doc("Whether it was done."))
    error = fields.Nested(Refusal, required=True)


class JoinedAck(CamelSchema):
    """The connection is in the room, and out of its previous one."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([True]), metadata=doc("Whether it was done."))
    room = text(metadata=doc("The Socket.IO room.", "protocol:aave-v3"))
    protocol_id = text(metadata=doc("Id of the protocol it belongs to.", PROTOCOL))
    seq = NumberText(
        required=True,
        metadata=doc("Number of the room's last event so far; the next event's is one higher.", "42"),
    )
    state_url = text(metadata=doc("Where to fetch the snapshot.", "/api/v1/protocols/aave-v3/state"))


class LeftAck(CamelSchema):
    """The connection is in no room."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([True]), metadata=doc("Whether it was done."))


class RenewMessage(CamelSchema):
    """A fresh token of the same subject, sent before the old one expires."""

    token = text(metadata=doc("A signed token (JWT).", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aWV3ZXItMSJ9.c2ln"))


class RenewedAck(CamelSchema):
    """The connection goes on; `protocolId` is the room it is still in."""

    ok = fields.Boolean(required=True, validate=validate.OneOf([True]), metadata=doc("Whether it was done."))
    protocol_id = text(allow_none=True, metadata=doc("The room it is still in; null for none.", PROTOCOL))


class SessionExpired(CamelSchema):
    """The token has expired; the connection ends right after."""

    code = text(
        validate=validate.OneOf(["TOKEN_EXPIRED"]),
        metadata=doc("Why, as a code that never changes: decide by it, not by the words.", "TOKEN_EXPIRED"),
    )


class SessionRevoked(CamelSchema):
    """The token was revoked; the connection ends right after."""

    code = text(
        validate=validate.OneOf(["TOKEN_REVOKED"]),
        metadata=doc("Why, as a code that never changes: decide by it, not by the words.", "TOKEN_REVOKED"),
    )


OTHERS: tuple[type[CamelSchema], ...] = (
    Handshake, JoinMessage, JoinedAck, LeaveMessage, LeftAck, Refusal, RefusedAck, RenewMessage, RenewedAck,
    SessionExpired, SessionRevoked,
)  # fmt: skip
