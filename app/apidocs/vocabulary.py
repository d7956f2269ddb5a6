"""Describes each member of a body and gives an example of it, once for both documents."""

import re
from typing import Any

from app.apidocs.special_words import SPECIAL
from app.apidocs.words import WORDS, Word


def word(schema: str, member: str) -> Word | None:
    """What `member` of `schema` means; None when nobody has written it down."""
    return SPECIAL.get((schema, member)) or WORDS.get(member)


def put_into_words(schemas: dict[str, dict[str, Any]]) -> None:
    """Add descriptions, examples and missing enumerations to the properties of these schemas."""
    for name, schema in schemas.items():
        for member, shape in schema.get("properties", {}).items():
            known = word(name, member)
            if known is None or "$ref" in shape:
                continue
            shape.setdefault("description", known.about)
            if known.values and "enum" not in shape:
                shape["enum"] = [*known.values]
            if _fits(known.example, shape):
                shape.setdefault("examples", [known.example])


def _fits(example: Any, shape: dict[str, Any]) -> bool:
    if example is None:
        return "null" in shape.get("type", ()) or any(each == {"type": "null"} for each in _choices(shape))
    if "enum" in shape:
        return example in shape["enum"]
    if isinstance(example, str) and not re.search(shape.get("pattern", ""), example):
        return False
    kinds: dict[str, Any] = {
        "string": str,
        "object": dict,
        "boolean": bool,
        "number": (int, float),
        "integer": int,
        "array": list,
    }
    types = shape.get("type", ())
    return any(
        isinstance(example, kinds[kind]) for kind in ([types] if isinstance(types, str) else types) if kind in kinds
    )


def _choices(shape: dict[str, Any]) -> list[Any]:
    return [*shape.get("anyOf", ()), *shape.get("oneOf", ())]
