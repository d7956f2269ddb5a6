"""The webhooks of the OpenAPI document: one request per delivered event, with the schema of its data from AsyncAPI."""

from typing import Any

from marshmallow import Schema, fields, validate

from app.apidocs import asyncapi
from app.apidocs.asyncapi import DATA
from app.apidocs.json_schemas import Json, example_of, schemas_of
from app.core.schemas import CamelSchema, Timestamp, camel_case, doc
from app.core.values import MOMENT, PROTOCOL
from app.webhooks.rules import DELIVERED_EVENTS, TEST_EVENT, is_delivered
from app.webhooks.schemas import DELIVERY, WebhookTestData

_DESCRIPTION = (
    "Sent once or more, in any order, to each webhook whose filters match: `type` and `data` are those of the room's "
    "event (`/asyncapi.json`), without its `seq`. Verify `webhook-signature` before anything else, reject a "
    "`webhook-timestamp` that is more than five minutes off, and act once per `webhook-id`. `data.version` tells an "
    "older state from a newer one."
)
_SIGNATURE = (
    "`v1,<base64>` for each valid secret, separated by blanks: HMAC-SHA256 of "
    "`<webhook-id>.<webhook-timestamp>.<body>` with the key that follows `whsec_` in base64. After a rotation there "
    "are two for 24 hours."
)


def _header(name: str, description: str, example: str) -> Json:
    shape = {"type": "string"}
    return {
        "in": "header", "name": name, "required": True, "schema": shape, "description": description, "example": example,
    }  # fmt: skip


_HEADERS = [
    _header("webhook-id", "The delivery's id, the same for each attempt and redelivery.", DELIVERY),
    _header("webhook-timestamp", "When this attempt was signed, in seconds since 1970.", "1795379400"),
    _header("webhook-signature", _SIGNATURE, "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
]
_RESPONSES = {
    "2XX": {"description": "Delivered. An answer within ten seconds counts; its body is ignored."},
    "410": {"description": "The endpoint is gone: the webhook is disabled."},
    "default": {"description": "Tried again with increasing delays for three days, as is a missing response."},
}


def described() -> tuple[Json, dict[str, Json]]:
    """The document's `webhooks`, and the schemas to which they refer."""
    bodies = {event.value: _body_schema(event.value, DATA[event]) for event in DELIVERED_EVENTS}
    bodies[TEST_EVENT] = _body_schema(TEST_EVENT, WebhookTestData)
    events = asyncapi.document()["components"]
    schemas = schemas_of(*bodies.values())
    for name, schema in schemas.items():
        schema.pop("additionalProperties", None)
        schema |= {key: each for key, each in events["schemas"].get(name, {}).items() if key == "allOf"}
    examples = _examples(events["messages"]) | {TEST_EVENT: {"test": example_of(_reference(TEST_EVENT), schemas)}}
    operations = {_name(event): {"post": _operation(event, examples[event])} for event in bodies}
    return operations, schemas


def _name(event: str) -> str:
    """`vuln:status_changed` is the webhook `vulnStatusChanged`."""
    return camel_case(event.replace(":", "_"))


def _schema_name(event: str) -> str:
    name = _name(event)
    return name[0].upper() + name[1:] + "Webhook"


def _reference(event: str) -> Json:
    return {"$ref": f"#/components/schemas/{_schema_name(event)}"}


def _body_schema(event: str, data: type[Schema]) -> type[Schema]:
    kind, moment = doc("Name of the event.", event), doc("When the event was stored.", MOMENT)
    members: dict[str, fields.Field[Any]] = {
        "type": fields.String(required=True, validate=validate.OneOf([event]), metadata=kind),
        "timestamp": Timestamp(required=True, metadata=moment),
        "protocol_id": fields.String(required=True, metadata=doc("Id of the protocol.", PROTOCOL)),
        "data": fields.Nested(data, required=True),
    }
    return CamelSchema.from_dict(members, name=_schema_name(event))


def _examples(messages: dict[str, Json]) -> dict[str, dict[str, Json]]:
    """The delivered ones of AsyncAPI's examples, by event and name."""
    found: dict[str, dict[str, Json]] = {}
    for message in messages.values():
        for example in message["examples"]:
            event, payload = message["name"], example["payload"]
            if event in DATA and is_delivered(event, payload["data"]):
                kept = {key: payload[key] for key in ("timestamp", "protocolId", "data")}
                found.setdefault(event, {})[example["name"]] = {"type": event} | kept
    return found


def _operation(event: str, examples: dict[str, Json]) -> Json:
    shown = {name: {"summary": name, "value": value} for name, value in examples.items()}
    return {
        "tags": ["webhooks"],
        "summary": "Receive a test" if event == TEST_EVENT else f"Receive {event}",
        "description": _DESCRIPTION,
        "operationId": f"{_name(event)}Webhook",
        "security": [],
        "parameters": _HEADERS,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _reference(event), "examples": shown}},
        },
        "responses": _RESPONSES,
    }
