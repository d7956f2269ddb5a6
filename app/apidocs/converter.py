"""JSON Schemas for OpenAPI 3.1 and AsyncAPI 3.0 from the marshmallow schemas.

apispec converts marshmallow's own fields; this module adds the JSON form of the application's field classes.
"""

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from marshmallow import Schema, fields

from app.agents.schemas import Percentage, TaskError
from app.core.pagination import Cursor
from app.core.schemas import Money, Name, NumberText, Reason, Timestamp
from app.core.values import NAME_PATTERN, VISIBLE_PATTERN

OPENAPI_VERSION = "3.1.0"
Json = dict[str, Any]

AMOUNT_PATTERN = r"^(0|[1-9][0-9]*)\.[0-9]{2,6}$"
REQUEST_AMOUNT_PATTERN = r"^(?!0(\.0{1,6})?$)(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$"
TIMESTAMP_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
NUMBER_PATTERN = r"^(0|[1-9][0-9]*)(\.[0-9]+)?$"

_SHAPES: dict[type[fields.Field[Any]], Json] = {
    Money: {"type": "string", "format": "decimal", "pattern": AMOUNT_PATTERN},
    NumberText: {"type": "string", "pattern": NUMBER_PATTERN},
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

    def __init__(self) -> None:
        super().__init__(schema_name_resolver=schema_name)

    def init_spec(self, spec: APISpec) -> None:
        super().init_spec(spec)
        assert self.converter is not None  # noqa: S101 - set by the line above
        self.converter.add_attribute_function(_field_shape)  # type: ignore[no-untyped-call]


def schema_name(schema: Any) -> str:
    """`ProtocolSchema` is `Protocol` in the documents."""
    cls = resolve_schema_cls(schema)
    name: str = cls.__name__ if isinstance(cls, type) else str(cls)
    return name.removesuffix("Schema")


def schemas_of(*classes: type[Schema]) -> dict[str, Json]:
    """The JSON Schemas of these classes and of the schemas nested in them, by name."""
    spec = APISpec("", "", OPENAPI_VERSION, plugins=[ContractPlugin()])
    for cls in classes:
        if schema_name(cls) not in spec.components.schemas:
            spec.components.schema(schema_name(cls), schema=cls)
    schemas: dict[str, Json] = spec.to_dict().get("components", {}).get("schemas", {})
    return schemas
