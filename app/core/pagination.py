"""Lists: `?limit=` (1–200, default 50) and an opaque `?cursor=`; the answer is `{items, nextCursor}`.

A page holds at most 1 MiB: with long items it ends early, and `nextCursor` continues after it.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

from app.core.errors import InvalidInput
from app.core.extensions import db
from app.core.schemas import CamelSchema, Moment, doc, is_identifier

MAX_BYTES = 1024 * 1024
NOT_A_CURSOR = "Is not a cursor of this list."
ITEM_BYTES = 700  # upper estimate for field names, numbers and dates of an item
Keys = list[Any] | None


class Cursor(fields.Field[list[Any]]):
    """The start of the next page: base64url of a JSON list of sort keys, opaque to clients."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        try:
            keys = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        except (ValueError, TypeError) as error:
            raise ValidationError(NOT_A_CURSOR) from error
        # Integers must fit a database column.
        if isinstance(keys, list) and all(
            is_identifier(key) or (isinstance(key, int) and 0 <= key < 2**63) for key in keys
        ):
            return keys
        raise ValidationError(NOT_A_CURSOR)


class PageQuery(CamelSchema):
    limit = fields.Integer(
        load_default=50, validate=validate.Range(min=1, max=200), metadata=doc("How many items at most.")
    )
    cursor = Cursor(load_default=None, metadata=doc("`nextCursor` of the page before; pass it back unread."))


class PeriodQuery(PageQuery):
    """A page of what was made in a period; `from` and `to` are named `since` and `until`, as `from` is a keyword."""

    since = Moment(
        data_key="from",
        load_default=None,
        metadata=doc(
            "Only what was made then or later: a date (its midnight in UTC) or a date and time with its zone."
        ),
    )
    until = Moment(data_key="to", load_default=None, metadata=doc("Only what was made before; must be after `from`."))

    @validates_schema
    def _check_order(self, data: dict[str, Any], **_: Any) -> None:
        if data["since"] and data["until"] and data["since"] >= data["until"]:
            raise ValidationError("Must be after `from`.", "to")


def made_between(
    query: Select[Any], column: InstrumentedAttribute[Any], since: datetime | None, until: datetime | None
) -> Select[Any]:
    """The rows of `query` from `since` (inclusive) to `until` (exclusive); None is no limit."""
    if since is not None:
        query = query.where(column >= since)
    return query if until is None else query.where(column < until)


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


def page_by_key(
    query: Select[Any], key: InstrumentedAttribute[Any], limit: int, cursor: Keys, *, is_ascending: bool = False
) -> Page:
    """One page of the rows of `query` ordered by one unique column, descending by default. Raises InvalidInput."""
    after = cursor_keys(cursor, key.type.python_type)
    if after:
        query = query.where(key > after[0] if is_ascending else key < after[0])
    rows = db.session.scalars(query.order_by(key if is_ascending else key.desc()).limit(limit + 1))
    return page_of(list(rows), limit, lambda row: [getattr(row, key.key)])


def _fitting(rows: list[Any]) -> list[Any]:
    """The first rows that fit in one page, at least one; their texts and JSON values count with their length."""
    size = 0
    for count, row in enumerate(rows):
        members = row if isinstance(row, dict) else vars(row)
        values = (value for name, value in members.items() if not name.startswith("_"))
        size += ITEM_BYTES + sum(len(json.dumps(value)) for value in values if isinstance(value, str | dict))
        if size > MAX_BYTES and count:
            return rows[:count]
    return rows


def cursor_keys(cursor: Keys, *kinds: type) -> Keys:
    """The cursor's keys if their types fit this list. Raises InvalidInput for another list's cursor."""
    if cursor is not None and [type(key) for key in cursor] != list(kinds):
        raise InvalidInput(fields={"cursor": [NOT_A_CURSOR]})
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
