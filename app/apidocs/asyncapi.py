"""The AsyncAPI 3.0 document of the Socket.IO API, and the schemas of its messages.

No library generates one from marshmallow schemas. `asyncapi.json` holds channels, operations and messages in a short
form. Tests validate every emitted event against the document.
"""

from typing import Any

from marshmallow import Schema, fields, validate

from app.agents.schemas import AgentTaskData
from app.apidocs.json_schemas import Json, example_of, read_json, schemas_of
from app.apidocs.operations import CATALOGUE
from app.core.schemas import CamelSchema, Identifier, NumberText, Timestamp, doc
from app.core.values import MOMENT, PROTOCOL
from app.payments.schemas import PaymentStatusData
from app.protocols.rules import ChangeType
from app.protocols.schemas import BountyPoolData
from app.realtime.events import EventType
from app.vulnerabilities.models import Status
from app.vulnerabilities.schemas import VulnDiscoveredData, VulnStatusData

_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aWV3ZXItMSJ9.c2ln"  # noqa: S105 - an example
_CODE = "A stable code: decide by it, not by the text."
_SEQ = (
    "`seq` is this event's own number in its room, one more than that of the previous event. In the answer to "
    "`protocol:join` and in `/state` it is the number of the last event so far."
)


def _text(description: str, example: str, **options: Any) -> fields.String:
    return fields.String(required=True, metadata=doc(description, example), **options)


def _number(description: str, example: str) -> NumberText:
    return NumberText(required=True, metadata=doc(description, example))


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


class Refusal(CamelSchema):
    code = _text(_CODE, "INVALID_PROTOCOL")
    detail = _text("The reason as a sentence.", "There is no such protocol.")


class AgentTasksData(CamelSchema):
    updates = fields.List(
        fields.Nested(AgentTaskData),
        required=True,
        validate=validate.Length(min=1, max=1000),
        metadata=doc("One update per agent."),
    )


_MESSAGES: dict[str, dict[str, fields.Field[Any]]] = {
    "Handshake": {
        "token": _text("The JWT, without `Bearer`.", _TOKEN),
        "protocol_id": Identifier(metadata=doc("Join the room of this protocol before `connect` fires.", PROTOCOL)),
        "agent_batches": _agent_batches(),
    },
    "JoinMessage": {
        "protocol_id": Identifier(required=True, metadata=doc("Id of the protocol.", PROTOCOL)),
        "agent_batches": _agent_batches(),
    },
    "JoinedAck": {
        "ok": _ok(value=True),
        "room": _text("The Socket.IO room.", "protocol:aave-v3"),
        "protocol_id": _text("Id of the protocol.", PROTOCOL),
        "seq": _number("Number of the room's last event; the next event's number is one higher.", "42"),
        "state_url": _text("Path of the snapshot.", "/api/v1/protocols/aave-v3/state"),
    },
    "LeaveMessage": {},
    "LeftAck": {"ok": _ok(value=True)},
    "PingMessage": {},
    "AliveAck": {"ok": _ok(value=True)},
    "RenewMessage": {"token": _text("The new JWT.", _TOKEN)},
    "RenewedAck": {
        "ok": _ok(value=True),
        "protocol_id": _text(
            "The protocol whose room the connection is still in; null for none.", PROTOCOL, allow_none=True
        ),
    },
    "RefusedAck": {"ok": _ok(value=False), "error": fields.Nested(Refusal, required=True)},
    "SessionExpired": {"code": _text(_CODE, "TOKEN_EXPIRED", validate=validate.OneOf(["TOKEN_EXPIRED"]))},
    "SessionRevoked": {"code": _text(_CODE, "TOKEN_REVOKED", validate=validate.OneOf(["TOKEN_REVOKED"]))},
}


def _event_schema(event_type: EventType, data: type[Schema]) -> type[Schema]:
    """The schema of an event; `bounty_pool:updated` is `BountyPoolUpdatedEvent` in the document."""
    members: dict[str, fields.Field[Any]] = {
        "timestamp": Timestamp(required=True, metadata=doc("Time of the event.", MOMENT)),
        "protocol_id": _text("Id of the protocol.", PROTOCOL),
        "seq": _number("This event's own number in its room; consecutive events have no gaps.", "42"),
        "event_type": _text("Name of the event.", event_type.value, validate=validate.OneOf([event_type])),
        "data": fields.Nested(data, required=True),
    }
    return CamelSchema.from_dict(members, name=event_type.name.title().replace("_", "") + "Event")


DATA: dict[EventType, type[Schema]] = {
    EventType.AGENT_TASK_UPDATE: AgentTaskData,
    EventType.AGENT_TASK_UPDATES: AgentTasksData,
    EventType.BOUNTY_POOL_UPDATED: BountyPoolData,
    EventType.VULN_DISCOVERED: VulnDiscoveredData,
    EventType.VULN_STATUS_CHANGED: VulnStatusData,
    EventType.PAYMENT_STATUS_CHANGED: PaymentStatusData,
}
EVENTS: dict[str, type[Schema]] = {event: _event_schema(event, data) for event, data in DATA.items()}


def _requires(field: str, value: str, *required: str) -> Json:
    """The condition that `required` members are present if `field` has this value; marshmallow cannot express it."""
    return {"if": {"properties": {field: {"const": value}}}, "then": {"required": list(required)}}


_CONDITIONS = {
    "VulnStatusData": [
        _requires("newStatus", Status.PAID.value, "paymentAmount", "paymentId"),
        _requires("newStatus", Status.REJECTED.value, "rejectionReason"),
    ],
    "BountyPoolData": [_requires("changeType", ChangeType.PAYMENT_RELEASED.value, "vulnerabilityId", "paymentId")],
}


def document() -> Json:
    """A new copy of the document."""
    static = read_json("asyncapi.json")
    others = (CamelSchema.from_dict(members, name=name) for name, members in _MESSAGES.items())
    schemas = schemas_of(*EVENTS.values(), *others)
    for name, schema in schemas.items():
        schema.pop("additionalProperties", None)  # clients ignore members that a later release adds
        if name in _CONDITIONS:
            schema["allOf"] = _CONDITIONS[name]
    details, security = static.pop("details"), static.pop("securitySchemes")
    messages = {key: _message(each, schemas, details) for key, each in static.pop("messages").items()}
    for channel in static["channels"].values():
        channel["messages"] = {key: {"$ref": f"#/components/messages/{key}"} for key in channel["messages"]}
    for operation in static["operations"].values():
        _complete_operation(operation)
    schemas = dict(sorted(schemas.items()))
    return static | {"components": {"messages": messages, "schemas": schemas, "securitySchemes": security}}


def _message(short: Json, schemas: dict[str, Json], details: dict[str, str]) -> Json:
    is_event = short["name"] in EVENTS
    base = example_of(schemas[short["schema"]], schemas, only_required=is_event)
    examples = {name: base | {"data": base["data"] | data} for name, data in short.get("examples", {}).items()}
    for code in short.get("codes", ()):
        error = {"code": code, "detail": details.get(code) or CATALOGUE[code].example}
        examples[code] = base | ({"error": error} if "error" in base else error)
    examples = examples or {"example": base}
    message = {
        "name": short["name"],
        "title": short["name"],
        "summary": short["summary"],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{short['schema']}"},
        "examples": [{"name": name, "summary": name, "payload": payload} for name, payload in examples.items()],
    }
    return message | ({"description": _SEQ} if is_event else {})


def _complete_operation(operation: Json) -> None:
    """As the server sees it: it sends events and receives joins."""
    channel, title = f"#/channels/{operation['channel']}", operation["title"]
    operation["tags"] = [{"name": "events" if operation["channel"] == "room" else "rooms"}]
    operation |= {"channel": {"$ref": channel}, "summary": title, "description": title + "."}
    operation["messages"] = [{"$ref": f"{channel}/messages/{each}"} for each in operation["messages"]]
    if "reply" in operation:
        replies = [{"$ref": f"{channel}/messages/{each}"} for each in operation["reply"]]
        operation["reply"] = {"channel": {"$ref": channel}, "messages": replies}
