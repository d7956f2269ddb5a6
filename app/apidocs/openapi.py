"""The OpenAPI document: flask-smorest's own, made from the views' schemas, completed and put into words."""

import copy
from typing import Any

from flask import Flask
from flask_smorest.spec.plugins import FlaskPlugin

from app.agents.schemas import BatchUpdate
from app.apidocs import operations, problems, system
from app.apidocs.converter import MONEY_SHOWN, MONEY_TAKEN, TIMESTAMP_SHOWN, ContractPlugin, Json, schemas_of
from app.apidocs.webhooks import WEBHOOKS
from app.core.examples import AGENT, PAYMENT, PROTOCOL, VULNERABILITY
from app.core.schemas import ID_PATTERN, camel_case
from app.http.idempotency import HEADER
from app.http.rest import api

_ABOUT = """Realtime backend for security dashboards: agents report progress, pools take deposits and pay bounties,
vulnerabilities move from status to status. What changes is told over Socket.IO (`/asyncapi.json`); this is the rest.

**Conventions.** JSON in camelCase. Dates are ISO 8601 in UTC with milliseconds. Money, versions, sequence numbers and
counts are strings, so that nothing loses precision: an amount sent as a JSON number is refused. Errors are
`application/problem+json`; decide by `code`. A path that exists answers another method with 405 and `Allow`.
Every response names its request in `X-Request-Id`."""
_HEADERS: Json = {
    "X-Request-Id": {"description": "The request's id, also in the logs.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "Idempotent-Replayed": {
        "description": "`true` when this is the first answer again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
PATH_PARAMETERS = {
    "agentId": ("Id of the agent.", AGENT),
    "protocolId": ("Id of the protocol.", PROTOCOL),
    "vulnerabilityId": ("Id of the vulnerability.", VULNERABILITY),
    "paymentId": ("Id of the payment.", PAYMENT),
}
_BEARER: Json = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "Claims: `sub`, `role`, `protocols` (ids, or `*` for all), `exp`, `iat`, `jti`. "
    "`dashboard token --role owner --protocol P1` prints one.",
}


def spec_options() -> dict[str, Any]:
    """What flask-smorest's `Api.init_app` needs as `spec_kwargs`, before any blueprint is registered."""
    return {"marshmallow_plugin": ContractPlugin()}


def document(app: Flask) -> Json:
    """The whole document, made anew."""
    made: Json = copy.deepcopy(api.spec.to_dict())
    schemas = _schemas(made["components"]["schemas"])
    views = _views(app)
    paths: Json = {}
    for raw_path, item in made["paths"].items():
        path = _camel_path(raw_path)
        shared = [_parameter(each) for each in item.pop("parameters", [])]
        paths[path] = {
            method: operations.complete(
                path, method, _with_parameters(operation, shared), views[path, method], schemas=schemas
            )
            for method, operation in item.items()
        }
    _tell_requests_and_answers_apart(paths, schemas)
    return {
        "openapi": made["openapi"],
        "info": _info(made["info"]),
        "servers": [{"url": "/", "description": "This server"}],
        "tags": [*made.get("tags", []), system.TAG],
        "paths": paths | system.PATHS,
        "webhooks": WEBHOOKS,
        "components": {
            "securitySchemes": {operations.BEARER: _BEARER},
            "headers": _HEADERS,
            "responses": problems.responses(),
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _info(made: Json) -> Json:
    contact, terms = {"name": "The operators of this server"}, {"name": "As agreed with the operators"}
    return made | {"description": _ABOUT, "contact": contact, "license": terms}


def _schemas(made: dict[str, Json]) -> dict[str, Json]:
    schemas = {name: shape for name, shape in made.items() if name not in ("Error", "PaginationMetadata")}
    schemas |= schemas_of(BatchUpdate) | {"Problem": problems.SCHEMA} | system.SCHEMAS
    schemas = copy.deepcopy(schemas)
    # The view takes each update as it comes and judges it by itself; the document tells what it is judged by.
    schemas["Batch"]["properties"]["updates"]["items"] = {"$ref": "#/components/schemas/BatchUpdate"}
    return schemas


def _views(app: Flask) -> dict[tuple[str, str], Any]:
    """(path in the document, method) → view function."""
    return {
        (_camel_path(FlaskPlugin.flaskpath2openapi(rule.rule)), method.lower()): app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }


def _camel_path(path: str) -> str:
    return "/".join("{" + camel_case(part[1:-1]) + "}" if part.startswith("{") else part for part in path.split("/"))


def _with_parameters(operation: Json, shared: list[Json]) -> Json:
    parameters = shared + [_parameter(each) for each in operation.pop("parameters", [])]
    return operation | ({"parameters": parameters} if parameters else {})


def _parameter(made: Json) -> Json:
    """Parameters of a query are there or not, never null; those of a path are ids."""
    parameter = copy.deepcopy(made)
    shape = parameter["schema"]
    if parameter["in"] == "path":
        parameter["name"] = camel_case(parameter["name"])
        shape |= {"pattern": f"^{ID_PATTERN}$", "maxLength": 64}
        parameter["description"], parameter["example"] = PATH_PARAMETERS[parameter["name"]]
    if isinstance(shape.get("type"), list):
        shape["type"] = next(each for each in shape["type"] if each != "null")
        shape.pop("default", None)
    if "enum" in shape:
        shape["enum"] = [each for each in shape["enum"] if each is not None]
    if parameter["name"] == HEADER:
        shape["pattern"] = "^[ -~]+$"
        parameter["example"] = "deposit-17"
    return parameter


def _tell_requests_and_answers_apart(paths: Json, schemas: dict[str, Json]) -> None:
    """Requests may leave out what has a default and write amounts more freely; answers have all their members."""
    operations_ = [operation for item in paths.values() for operation in item.values()]
    taken = _reachable([each.get("requestBody", {}) for each in operations_], schemas)
    given = _reachable([each["responses"] for each in operations_], schemas)
    for name in taken - given:
        schemas[name]["additionalProperties"] = False
        for shape in schemas[name].get("properties", {}).values():
            if shape.get("pattern") == MONEY_SHOWN:
                shape["pattern"] = MONEY_TAKEN
            elif shape.get("pattern") == TIMESTAMP_SHOWN:
                del shape["pattern"]
    for name in given - taken - {"Problem"}:
        schemas[name].pop("additionalProperties", None)
        schemas[name]["required"] = list(schemas[name].get("properties", {}))


def _reachable(start: Any, schemas: dict[str, Json]) -> set[str]:
    """Names of the schemas that `start` refers to, by whatever way."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        match waiting.pop():
            case {"$ref": str(reference)} if "/schemas/" in reference:
                name = reference.rpartition("/")[2]
                if name not in found:
                    found.add(name)
                    waiting.append(schemas[name])
            case dict() as members:
                waiting.extend(members.values())
            case list() as items:
                waiting.extend(items)
    return found
