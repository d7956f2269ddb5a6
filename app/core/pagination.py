"""Lists: `?limit=` (1–200, default 50) and an opaque `?cursor=`; the answer is `{items, nextCursor}`.

A page holds at most 1 MiB: with long items it ends early, and `nextCursor` continues after it.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, validate

from app.core.errors import InvalidInput
from app.core.schemas import CamelSchema, doc, is_identifier

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_BYTES = 1024 * 1024
ITEM_BYTES = 700  # upper estimate for field names, numbers and dates of an item


class Cursor(fields.Field[list[Any]]):
    """The start of the next page: base64url of a JSON list of sort keys, opaque to clients."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        try:
            keys = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        except (ValueError, TypeError) as error:
            raise ValidationError("Is not a cursor of this list.") from error
        if not isinstance(keys, list) or not all(is_identifier(key) or _is_counter(key) for key in keys):
            raise ValidationError("Is not a cursor of this list.")
        return keys


def _is_counter(key: object) -> bool:
    """Whether the key is an integer that fits a database column."""
    return isinstance(key, int) and 0 <= key < 2**63


class PageQuery(CamelSchema):
    limit = fields.Integer(
        load_default=DEFAULT_LIMIT,
        validate=validate.Range(min=1, max=MAX_LIMIT),
        metadata=doc("How many items at most."),
    )
    cursor = Cursor(load_default=None, metadata=doc("`nextCursor` of the page before; pass it back unread."))


@dataclass(frozen=True)
class Page:
    items: list[Any]
    next_cursor: str | None


def page_of(rows: list[Any], limit: int, keys: Callable[[Any], list[Any]]) -> Page:
    """The page made from `rows`, read with `limit + 1`; `keys(row)` are a row's sort keys for the cursor."""
    items = _fitting(rows[:limit])
    if len(rows) == len(items):
        return Page(items, None)
    text = json.dumps(keys(items[-1]), separators=(",", ":")).encode()
    return Page(items, base64.urlsafe_b64encode(text).decode().rstrip("="))


def _fitting(rows: list[Any]) -> list[Any]:
    """The first rows that fit in one page, at least one."""
    size = 0
    for count, row in enumerate(rows):
        size += ITEM_BYTES + _long_values(row)
        if size > MAX_BYTES and count:
            return rows[:count]
    return rows


def _long_values(row: Any) -> int:
    """The size in bytes of a row's texts and JSON values in a response."""
    members = row if isinstance(row, dict) else vars(row)
    values = (value for name, value in members.items() if not name.startswith("_"))
    return sum(len(json.dumps(value)) for value in values if isinstance(value, str | dict))


def cursor_keys(cursor: list[Any] | None, *kinds: type) -> list[Any] | None:
    """The cursor's keys if their types fit this list. Raises InvalidInput for another list's cursor."""
    if cursor is not None and [type(key) for key in cursor] != list(kinds):
        raise InvalidInput("The request has invalid fields.", fields={"cursor": ["Is not a cursor of this list."]})
    return cursor


def page_schema(item_schema: type[CamelSchema]) -> type[CamelSchema]:
    name = item_schema.__name__.removesuffix("Schema") + "PageSchema"
    members: dict[str, Any] = {
        "items": fields.List(fields.Nested(item_schema), metadata=doc("The items of this page, at most `limit`.")),
        "next_cursor": fields.String(
            allow_none=True, metadata=doc("Where the next page begins; null on the last.", None)
        ),
    }
    return CamelSchema.from_dict(members, name=name)  # type: ignore[return-value]
