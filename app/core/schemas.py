"""The base of all schemas: camelCase names, and fields for ids, names, texts, money, numbers and times."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.core import values

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
_ID = re.compile(ID_PATTERN, re.ASCII)
_NO_EXAMPLE = object()


def doc(description: str, example: Any = _NO_EXAMPLE) -> dict[str, Any]:
    """The `metadata` of a field for the API documents: a description and, if given, an example (None is one)."""
    return {"description": description} | ({} if example is _NO_EXAMPLE else {"shown": example})


def camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


class CamelSchema(Schema):
    """Fields are snake_case in Python and camelCase in JSON; unknown fields of a request are rejected."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.data_key = camel_case(field_obj.data_key or field_name)


def is_identifier(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _check_name(value: str) -> None:
    problem = values.naming_problem(value)
    if problem:
        raise ValidationError(problem)


def _check_reason(value: str) -> None:
    if not values.is_visible(value):
        raise ValidationError("Must not be blank.")


class Name(fields.String):
    """Text that names something: a title, a task, a reference. Rejected if it has invisible or control characters."""

    def __init__(self, *, longest: int = 200, **kwargs: Any) -> None:
        super().__init__(validate=[validate.Length(min=1, max=longest), _check_name], **kwargs)


class DescribingText(fields.String):
    """Descriptive text: cleaned and cut to `limit` characters, never rejected."""

    def __init__(self, limit: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limit = limit

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return values.clean_text(super()._deserialize(value, attr, data, **kwargs), self.limit)


class Reason(DescribingText):
    """A required reason: a text without visible characters counts as missing."""

    def __init__(self, limit: int, **kwargs: Any) -> None:
        super().__init__(limit, required=True, validate=_check_reason, **kwargs)


class Identifier(fields.String):
    """An id: `[A-Za-z0-9][A-Za-z0-9._:-]{0,63}`."""

    def __init__(self, **kwargs: Any) -> None:
        message = "Must begin with a letter or digit, then up to 63 letters, digits or . _ : -"
        super().__init__(validate=validate.Regexp(rf"\A{ID_PATTERN}\Z", re.ASCII, error=message), **kwargs)


class Choice(fields.String):
    """One of a few strings: the members of an enum, or a list."""

    def __init__(self, choices: Iterable[str], **kwargs: Any) -> None:
        super().__init__(validate=validate.OneOf(list(choices)), **kwargs)


class Money(fields.Field[int]):
    """An amount: a decimal string in JSON, whole minor units in Python."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else values.format_amount(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        try:
            return values.parse_amount(value)
        except ValueError as error:
            raise ValidationError(f"An amount {error}.") from error


class NumberText(fields.Field[Any]):
    """A number written as a string in responses: versions, sequence numbers, counts, progress."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return value if value is None or isinstance(value, str) else values.number_text(value)


class Timestamp(fields.Field[datetime]):
    """ISO 8601 in UTC with milliseconds and `Z`; requests may use any offset but must have one."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return value if value is None or isinstance(value, str) else values.iso_timestamp(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            return values.moment_of(value)
        except (ValueError, AttributeError, OverflowError) as error:
            message = 'Must be an ISO 8601 date and time with its zone, such as "2026-11-22T20:30:00.000Z".'
            raise ValidationError(message) from error


class Moment(Timestamp):
    """A `Timestamp` in a query, or a plain date, which is its midnight in UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            return datetime.combine(date.fromisoformat(value), time(), UTC)
        except (ValueError, TypeError):  # a `+` that was not escaped arrives as a space
            return super()._deserialize(value[:10] + value[10:].replace(" ", "+"), attr, data, **kwargs)
