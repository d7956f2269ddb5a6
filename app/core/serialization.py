"""Values in responses and events: times as ISO 8601, numbers as strings. Imports no framework."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_SECONDS, _MILLISECONDS = slice(1, 20), slice(20, 24)  # in "2026-11-23T10:00:00.123456Z" with its quotes


def iso_timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`. Raises ValueError for a time without zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    text = _encode(moment.astimezone(UTC)).decode("ascii")  # takes an eighth of isoformat's time
    fraction = text[_MILLISECONDS] if text[20] == "." else ".000"
    return text[_SECONDS] + fraction + "Z"


def moment_of(text: str) -> datetime:
    """The time, in UTC, of an ISO 8601 text; `t` and `z` may be lower case (RFC 3339).

    Raises ValueError, also without a time zone, and OverflowError near the first and last years.
    """
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)


def number_text(number: float | Decimal) -> str:
    """A number without exponent and trailing zeros: `65`, `65.5`, `0.000001`. Raises ValueError for NaN and ∞."""
    number = number or 0  # turns -0.0 into 0
    exact = number if isinstance(number, (int, Decimal)) else Decimal(repr(number))
    if isinstance(exact, Decimal):
        if not exact.is_finite():
            raise ValueError(f"{number!r} is not a finite number")
        plain = format(exact, "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return str(int(exact))


def to_wire(value: Any) -> Any:  # noqa: PLR0911 - one line per kind of value
    """Convert `value` for an event: dates become ISO 8601, numbers become strings, at any depth."""
    match value:
        case None | bool():
            return value
        case Enum():
            return to_wire(value.value)
        case str():
            return value
        case int() | float() | Decimal():
            return number_text(value)
        case datetime():
            return iso_timestamp(value)
        case date():
            return value.isoformat()
        case dict():
            return {str(key): to_wire(each) for key, each in value.items()}
        case list() | tuple():
            return [to_wire(each) for each in value]
    raise TypeError(f"an event cannot carry {type(value).__name__}: {value!r}")


def to_json(data: dict[str, Any]) -> str:
    """The data part of an event as JSON text."""
    return json.dumps(to_wire(data), ensure_ascii=False, separators=(",", ":"))
