"""What this server asks of others: the payout service named by PAYOUT_URL."""

from app.apidocs.converter import MONEY_SHOWN, Json
from app.core.examples import PAYMENT, PROTOCOL

_BODY: Json = {
    "type": "object",
    "required": ["paymentId", "protocolId", "amount", "currency", "recipient"],
    "properties": {
        "paymentId": {"type": "string", "description": "The payment; the same in every attempt."},
        "protocolId": {"type": "string", "description": "Whose pool is charged."},
        "amount": {"type": "string", "format": "decimal", "pattern": MONEY_SHOWN, "description": "How much."},
        "currency": {"type": "string", "description": "The pool's currency."},
        "recipient": {"type": "string", "minLength": 1, "maxLength": 128, "description": "Where it goes."},
    },
}
_EXAMPLE: Json = {
    "paymentId": PAYMENT,
    "protocolId": PROTOCOL,
    "amount": "2500.00",
    "currency": "USDC",
    "recipient": "0x52908400098527886E0F7030069857D2",
}
_ANSWER: Json = {
    "type": "object",
    "required": ["reference"],
    "properties": {
        "reference": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Your name for the payout."}
    },
}


def _header(name: str, description: str, example: str) -> Json:
    schema = {"type": "string"}
    return {
        "in": "header", "name": name, "required": True, "schema": schema,
        "description": description, "example": example,
    }  # fmt: skip


WEBHOOKS: Json = {
    "payout": {
        "post": {
            "tags": ["payments"],
            "summary": "Move the money of one payment",
            "description": "Sent to PAYOUT_URL, once or more often per payment: pay once per `Idempotency-Key`. "
            "Verify `X-Signature` with PAYOUT_SECRET before anything else; refuse a time more than five minutes off.",
            "operationId": "payout",
            "security": [],
            "parameters": [
                _header("Idempotency-Key", "The payment's id.", PAYMENT),
                _header(
                    "X-Signature",
                    "`t=<Unix seconds>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>` with PAYOUT_SECRET.",
                    "t=1795379400,v1=8f0c0b7c1d",
                ),
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": _BODY,
                        "examples": {"payout": {"summary": "a payout", "value": _EXAMPLE}},
                    }
                },
            },
            "responses": {
                "200": {
                    "description": "Paid, now or before; any 2xx.",
                    "content": {
                        "application/json": {
                            "schema": _ANSWER,
                            "examples": {"paid": {"summary": "paid", "value": {"reference": "tx-0x9f2c"}}},
                        }
                    },
                },
                "4XX": {"description": "Refused for good: the payment is FAILED. 408, 425 and 429 are tried again."},
                "5XX": {"description": "Tried again, with longer and longer pauses; so is no answer at all."},
            },
        }
    }
}
