"""The AsyncAPI 3.0 document of the Socket.IO API. No library generates one from marshmallow schemas.

`asyncapi.json` holds channels, operations and messages in a short form; the schemas come from marshmallow.
"""

import copy

from app.apidocs.connection import MESSAGES
from app.apidocs.converter import Json, schemas_of
from app.apidocs.events import CONDITIONS, EVENTS
from app.apidocs.examples import example_of, read_json
from app.apidocs.problems import CATALOGUE

_SEQ = (
    "`seq` is this event's own number in its room, one more than that of the previous event. In the answer to "
    "`protocol:join` and in `/state` it is the number of the last event so far."
)


def document() -> Json:
    """A new copy of the document."""
    static = read_json("asyncapi.json")
    schemas = _schemas()
    details = static.pop("details")
    messages = {key: _message(each, schemas, details) for key, each in static.pop("messages").items()}
    for channel in static["channels"].values():
        channel["messages"] = {key: {"$ref": f"#/components/messages/{key}"} for key in channel["messages"]}
    static["operations"] = {key: _operation(each) for key, each in static["operations"].items()}
    security = static.pop("securitySchemes")
    return static | {"components": {"messages": messages, "schemas": schemas, "securitySchemes": security}}


def _schemas() -> dict[str, Json]:
    schemas = copy.deepcopy(schemas_of(*EVENTS.values(), *MESSAGES))
    for schema in schemas.values():
        schema.pop("additionalProperties", None)  # clients ignore members that a later release adds
    for name, conditions in CONDITIONS.items():
        schemas[name]["allOf"] = conditions
    return dict(sorted(schemas.items()))


def _message(short: Json, schemas: dict[str, Json], details: dict[str, str]) -> Json:
    event = EVENTS.get(short["name"])
    base = example_of(schemas[short["schema"]], schemas, only_required=event is not None)
    examples = {name: base | {"data": base["data"] | data} for name, data in short.get("examples", {}).items()}
    for code in short.get("codes", ()):
        error = {"code": code, "detail": details.get(code) or CATALOGUE[code].example}
        examples[code] = base | ({"error": error} if "error" in base else error)
    message = {
        "name": short["name"],
        "title": short["name"],
        "summary": short.get("summary") or str(event and event.__doc__),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{short['schema']}"},
        "examples": [
            {"name": name, "summary": name, "payload": payload}
            for name, payload in (examples or {"example": base}).items()
        ],
    }
    return message | ({"description": _SEQ} if event else {})


def _operation(short: Json) -> Json:
    """As the server sees it: it sends events and receives joins."""
    channel = f"#/channels/{short['channel']}"

    def messages(kind: str) -> list[Json]:
        return [{"$ref": f"{channel}/messages/{each}"} for each in short[kind]]

    operation: Json = {
        "action": short["action"],
        "channel": {"$ref": channel},
        "title": short["title"],
        "summary": short["title"],
        "description": short["title"] + ".",
        "messages": messages("messages"),
        "tags": [{"name": "events" if short["channel"] == "room" else "rooms"}],
    }
    if "reply" in short:
        operation["reply"] = {"channel": {"$ref": channel}, "messages": messages("reply")}
    return operation
