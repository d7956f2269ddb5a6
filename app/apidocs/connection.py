"""What else goes over Socket.IO, as marshmallow schemas: the handshake, what clients send, acks and refusals."""

from marshmallow import fields, validate

from app.apidocs.events import text
from app.schemas import CamelSchema, Identifier, NumberText


class Handshake(CamelSchema):
    """Socket.IO's `auth` object."""

    token = text(metadata={"description": "The JWT, without `Bearer`."})
    protocol_id = Identifier(metadata={"description": "Join this protocol's room before `connect` fires."})
    agent_batches = fields.Boolean()


class JoinMessage(CamelSchema):
    """What a client sends to enter a room."""

    protocol_id = Identifier(required=True)
    agent_batches = fields.Boolean()


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
    seq = NumberText(required=True)
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
    Handshake, JoinMessage, JoinedAck, LeftAck, Refusal, RefusedAck, RenewMessage, RenewedAck, SessionExpired,
    SessionRevoked,
)  # fmt: skip
