"""JSON Schemas for OpenAPI 3.1 and AsyncAPI 3.0 from the marshmallow schemas, and examples of them.

apispec converts marshmallow's own fields; this module adds the JSON form of the application's field classes. Bodies'
examples are composed of the examples of their members, so that a new route has examples at once.
"""

import json
from pathlib import Path
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin, resolver
from marshmallow import Schema, fields

from app.agents.schemas import Percentage, TaskError
from app.core.pagination import Cursor
from app.core.schemas import Moment, Money, Name, NumberText, Reason, Timestamp
from app.core.values import NAME_PATTERN, VISIBLE_PATTERN

Json = dict[str, Any]

AMOUNT_PATTERN = r"^(0|[1-9][0-9]*)\.[0-9]{2,6}$"
REQUEST_AMOUNT_PATTERN = r"^(?!0(\.0{1,6})?$)(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$"
TIMESTAMP_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
MOMENT_PATTERN = (
    r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
    r"(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$"
)
NUMBER_PATTERN = r"^(0|[1-9][0-9]*)(\.[0-9]+)?$"

_SHAPES: dict[type[fields.Field[Any]], Json] = {
    Money: {"type": "string", "format": "decimal", "pattern": AMOUNT_PATTERN},
    NumberText: {"type": "string", "pattern": NUMBER_PATTERN},
    Moment: {"type": "string", "pattern": MOMENT_PATTERN},
    Timestamp: {"type": "string", "format": "date-time", "pattern": TIMESTAMP_PATTERN},
    Percentage: {"type": "number", "minimum": Percentage.minimum, "maximum": Percentage.maximum},
    Cursor: {"type": "string", "minLength": 1},
    Name: {"type": "string", "pattern": NAME_PATTERN},
    Reason: {"type": "string", "pattern": VISIBLE_PATTERN},
}


def _field_shape(self: Any, field: fields.Field[Any], *, ret: Json, **_: Any) -> Json:
    """An attribute function of apispec, run after apispec's own: the JSON form of a field."""
    del self
    shape: Json = next((dict(shape) for kind, shape in _SHAPES.items() if isinstance(field, kind)), {})
    if "pattern" in ret:
        shape["pattern"] = ret["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
    if isinstance(field, TaskError):
        shape["anyOf"] = [{"type": "string"}, *ret["anyOf"]]
    if field.allow_none and "type" in shape:
        shape["type"] = [shape["type"], "null"]
    if field.allow_none and "enum" in ret and None not in ret["enum"]:
        shape["enum"] = [*ret["enum"], None]
    if "shown" in field.metadata:
        shape["examples"] = [field.metadata["shown"]]
    return shape


class ContractPlugin(MarshmallowPlugin):
    """apispec's marshmallow plugin with the application's field classes."""

    def init_spec(self, spec: APISpec) -> None:
        super().init_spec(spec)
        assert self.converter is not None  # noqa: S101 - set by the line above
        self.converter.add_attribute_function(_field_shape)  # type: ignore[no-untyped-call]


def schemas_of(*classes: type[Schema]) -> dict[str, Json]:
    """The JSON Schemas of these classes and of the schemas nested in them, by name."""
    spec = APISpec("", "", "3.1.0", plugins=[ContractPlugin()])
    for cls in classes:
        if resolver(cls) not in spec.components.schemas:
            spec.components.schema(resolver(cls), schema=cls)
    schemas: dict[str, Json] = spec.to_dict()["components"]["schemas"]
    return schemas


def read_json(name: str) -> Json:
    """A JSON file of this folder: the parts of the documents that are data."""
    content: Json = json.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))
    return content


def example_of(shape: Json, schemas: dict[str, Json], *, only_required: bool = False) -> Any:
    """An example of a JSON Schema that may refer to `schemas`, with all members or only the required ones."""

    def example(inner: Json) -> Any:
        return example_of(inner, schemas, only_required=only_required)

    match shape:
        case {"$ref": reference}:
            value = example(schemas[reference.rpartition("/")[2]])
        case {"examples": [first, *_]} | {"enum": [first, *_]}:
            value = first
        case {"type": "array", "items": items}:
            value = [example(items)]
        case {"properties": properties}:
            names = set(shape.get("required", ())) if only_required else properties.keys()
            value = {name: example(each) for name, each in properties.items() if name in names}
        case _:
            value = "text"
    return value
