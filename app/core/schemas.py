"""What all schemas share: camelCase names and the contract's conventions for ids, money, dates and numbers."""

import re
from datetime import datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.core.money import format_amount, parse_amount
from app.core.serialization import iso_timestamp, moment_of, number_text
from app.core.text import clean_text, is_visible, naming_problem

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
_ID = re.compile(ID_PATTERN, re.ASCII)
_NO_EXAMPLE = object()
NAME_LENGTH = 200


def doc(description: str, example: Any = _NO_EXAMPLE) -> dict[str, Any]:
    """The `metadata` of a field: what it means and, for the API documents, a value; None is an example of its own."""
    return {"description": description} | ({} if example is _NO_EXAMPLE else {"shown": example})


def camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


class CamelSchema(Schema):
    """Python's snake_case fields are camelCase on the wire; unknown fields of a request are refused."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.data_key = camel_case(field_obj.data_key or field_name)


def is_identifier(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


class Name(fields.String):
    """Text that names something: a title, a task, a reference. Refused when it cannot be read as it stands."""

    def __init__(self, *, longest: int = NAME_LENGTH, **kwargs: Any) -> None:
        super().__init__(validate=[validate.Length(min=1, max=longest), _check_naming], **kwargs)


def _check_naming(value: str) -> None:
    problem = naming_problem(value)
    if problem:
        raise ValidationError(problem)


class DescribingText(fields.String):
    """Text that only describes: cleaned and cut to `limit`, never refused."""

    def __init__(self, limit: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limit = limit

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return clean_text(super()._deserialize(value, attr, data, **kwargs), self.limit)


class Reason(DescribingText):
    """A reason that has to be given: one without anything visible counts as missing."""

    def __init__(self, limit: int, **kwargs: Any) -> None:
        super().__init__(limit, required=True, validate=_check_given, **kwargs)


def _check_given(value: str) -> None:
    if not is_visible(value):
        raise ValidationError("Must not be blank.")


class Identifier(fields.String):
    """An id: `[A-Za-z0-9][A-Za-z0-9._:-]{0,63}`."""

    def __init__(self, **kwargs: Any) -> None:
        message = "Must begin with a letter or digit, then up to 63 letters, digits or . _ : -"
        super().__init__(validate=validate.Regexp(rf"\A{ID_PATTERN}\Z", re.ASCII, error=message), **kwargs)


class Money(fields.Field[int]):
    """An amount: a decimal string on the wire, whole minor units inside."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else format_amount(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        try:
            return parse_amount(value)
        except ValueError as error:
            raise ValidationError(f"An amount {error}.") from error


class NumberText(fields.Field[Any]):
    """A number in an answer, written as a string: versions, sequence numbers, counts, progress."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return value if value is None or isinstance(value, str) else number_text(value)


class Timestamp(fields.Field[datetime]):
    """ISO 8601 in UTC with milliseconds and `Z`; in requests any offset, but never none."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return value if value is None or isinstance(value, str) else iso_timestamp(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            return moment_of(value)
        except (ValueError, AttributeError, OverflowError) as error:
            message = 'Must be an ISO 8601 date and time with its zone, such as "2026-11-22T20:30:00.000Z".'
            raise ValidationError(message) from error
