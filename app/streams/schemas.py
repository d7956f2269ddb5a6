from marshmallow import fields

from app.core.schemas import CamelSchema, Timestamp, doc
from app.core.values import LATER


class StreamTicketSchema(CamelSchema):
    ticket = fields.String(
        metadata=doc("Good once, as `?ticket=`, for this protocol's stream.", "mZ4kq0Vb7Jw1Xr9sT3uYcE5hN8pLdA2f")
    )
    expires_at = Timestamp(metadata=doc("Until when it can be used, 30 seconds from now.", LATER))
