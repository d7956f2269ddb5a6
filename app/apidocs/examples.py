"""Examples of bodies, composed of the examples of their members, so that a new route has examples at once."""

import json
from pathlib import Path
from typing import Any

from app.apidocs.converter import NUMBER_PATTERN, Json
from app.core.values import MOMENT

_BY_FORMAT = {"date-time": MOMENT, "decimal": "1.00"}
_BY_TYPE: dict[str, Any] = {"object": {}, "number": 1, "integer": 1, "boolean": True, "null": None}


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
        case {"anyOf": [choice, *_]} | {"oneOf": [choice, *_]}:
            value = example(choice)
        case {"type": "array", "items": items}:
            value = [example(items)]
        case {"properties": properties}:
            names = set(shape.get("required", ())) if only_required else properties.keys()
            value = {name: example(each) for name, each in properties.items() if name in names}
        case {"type": [*kinds]}:
            value = example({**shape, "type": kinds[0]})
        case {"format": form} if form in _BY_FORMAT:
            value = _BY_FORMAT[form]
        case {"pattern": pattern} if pattern == NUMBER_PATTERN:
            value = "1"
        case _:
            value = _BY_TYPE.get(shape.get("type", ""), "text")
    return value
