"""The OpenAPI document: flask-smorest's, generated from the views and schemas, completed for readers."""

import copy
import json
import re
from typing import Any

from flask import Flask
from flask_smorest.spec.plugins import FlaskPlugin

from app.agents.schemas import BatchUpdate
from app.apidocs.json_schemas import (
    AMOUNT_PATTERN,
    REQUEST_AMOUNT_PATTERN,
    TIMESTAMP_PATTERN,
    ContractPlugin,
    Json,
    read_json,
    schemas_of,
)
from app.apidocs.operations import CATALOGUE, PATH_PARAMETERS, complete, shared_responses
from app.apidocs.webhooks import described as described_webhooks
from app.core.schemas import ID_PATTERN, camel_case
from app.http.idempotency import HEADER
from app.http.rest import api


def spec_options() -> dict[str, Any]:
    """The `spec_kwargs` of flask-smorest's `Api.init_app`."""
    return {"marshmallow_plugin": ContractPlugin()}


def document(app: Flask) -> Json:
    """A new copy of the document."""
    generated: Json = copy.deepcopy(api.spec.to_dict())
    static = read_json("openapi.json")
    components = static["components"]
    webhooks, event_schemas = described_webhooks()
    schemas = event_schemas | generated["components"]["schemas"] | schemas_of(BatchUpdate) | components["schemas"]
    del schemas["Error"], schemas["PaginationMetadata"]
    # The view validates each update separately, so the field itself accepts anything.
    schemas["Batch"]["properties"]["updates"]["items"] = {"$ref": "#/components/schemas/BatchUpdate"}
    schemas["Problem"]["properties"]["code"]["enum"] = sorted(CATALOGUE)
    paths = _paths(app, generated["paths"], schemas)
    _separate_requests_and_responses(paths, schemas)
    components |= {"responses": shared_responses(), "schemas": dict(sorted(schemas.items()))}
    return static | {
        "openapi": generated["openapi"],
        "info": generated["info"] | static["info"],
        "tags": [*generated["tags"], *static["tags"]],
        "paths": paths | static["paths"],
        "webhooks": static["webhooks"] | webhooks,
        "components": components,
    }


def _paths(app: Flask, generated: Json, schemas: dict[str, Json]) -> Json:
    examples = read_json("examples.json")
    views = {
        (_camel_case_path(FlaskPlugin.flaskpath2openapi(rule.rule)), method.lower()): app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    paths: Json = {}
    for raw_path, item in generated.items():
        path = _camel_case_path(raw_path)
        shared = item.pop("parameters", [])
        for method, operation in item.items():
            if parameters := [*shared, *operation.pop("parameters", [])]:
                operation["parameters"] = parameters
                for each in parameters:
                    _complete_parameter(each)
            complete(path, method, operation, views[path, method], schemas=schemas, examples=examples)
        paths[path] = item
    return paths


def _camel_case_path(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: "{" + camel_case(found[1]) + "}", path)


def _complete_parameter(parameter: Json) -> None:
    """Query parameters are present or absent, but never null; path parameters are ids."""
    shape = parameter["schema"]
    if parameter["in"] == "path":
        parameter["name"] = camel_case(parameter["name"])
        shape |= {"pattern": f"^{ID_PATTERN}$", "maxLength": 64}
        parameter["description"] = f"Id of the {parameter['name'].removesuffix('Id')}."
        parameter["example"], _ = PATH_PARAMETERS[parameter["name"]]
    if isinstance(shape.get("type"), list):
        shape["type"] = next(each for each in shape["type"] if each != "null")
        shape.pop("default", None)
    if "enum" in shape:
        shape["enum"] = [each for each in shape["enum"] if each is not None]
    if parameter["name"] == HEADER:
        shape["pattern"] = "^[ -~]+$"
        parameter["example"] = "deposit-17"


def _separate_requests_and_responses(paths: Json, schemas: dict[str, Json]) -> None:
    """In requests, defaults are optional and amounts may be written more freely; responses have all their members."""
    operations = [operation for item in paths.values() for operation in item.values()]
    requests = _reachable([each.get("requestBody", {}) for each in operations], schemas)
    responses = _reachable([each["responses"] for each in operations], schemas)
    for name in requests - responses:
        schemas[name]["additionalProperties"] = False
        for shape in schemas[name].get("properties", {}).values():
            if shape.get("pattern") == AMOUNT_PATTERN:
                shape["pattern"] = REQUEST_AMOUNT_PATTERN
            elif shape.get("pattern") == TIMESTAMP_PATTERN:
                del shape["pattern"]
    for name in responses - requests - {"Problem"}:
        schemas[name].pop("additionalProperties", None)
        schemas[name]["required"] = list(schemas[name].get("properties", {}))


def _reachable(start: Any, schemas: dict[str, Json]) -> set[str]:
    """The names of the schemas to which `start` refers, directly or through other schemas."""
    found: set[str] = set()
    pending = [start]
    while pending:
        names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(pending.pop()))) - found
        found |= names
        pending.extend(schemas[name] for name in names)
    return found
