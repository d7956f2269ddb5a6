"""Checks of the rules that the contract sets for every event."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def leaves(value: Any) -> Iterator[Any]:
    """Every value at any depth that is neither an object nor a list."""
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def moment(text: str) -> datetime:
    """Parse a timestamp of an event after checking its format."""
    assert TIMESTAMP.fullmatch(text), f"{text!r} is not an ISO 8601 date in UTC with milliseconds and Z"
    return datetime.fromisoformat(text).astimezone(UTC)


def most_in_a_window(times: list[float], seconds: float = 1.0) -> int:
    """The largest number of `times` within any half-open window of this length."""
    ordered, first, most = sorted(times), 0, 0
    for last, time in enumerate(ordered):
        while ordered[first] <= time - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
