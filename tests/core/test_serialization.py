"""What events carry: dates as ISO 8601 in UTC, numbers as exact text, at any depth."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.values import iso_timestamp, number_text, to_json, to_wire
from tests.support.event_checks import leaves, moment


class Colour(Enum):
    RED = 3


scalars = st.none() | st.booleans() | st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
anything = st.recursive(
    scalars | st.decimals(allow_nan=False, allow_infinity=False) | st.datetimes(timezones=st.just(UTC)),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children) | st.tuples(children),
    max_leaves=20,
)


@given(anything)
def test_serialized_values_are_text_booleans_and_null_at_any_depth(value) -> None:
    text = json.dumps(to_wire({"value": value}))
    assert all(each is None or isinstance(each, (str, bool)) for each in leaves(json.loads(text)))


@given(st.integers())
def test_an_integer_keeps_every_digit(number: int) -> None:
    assert int(number_text(number)) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**18), max_value=10**18))
def test_a_decimal_keeps_its_value_and_has_no_exponent(number: Decimal) -> None:
    text = number_text(number)
    assert Decimal(text) == number
    assert "E" not in text.upper()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_written_so_that_it_reads_back_the_same(number: float) -> None:
    assert float(number_text(number)) == number


@pytest.mark.parametrize("number", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_nan_and_infinity_are_rejected(number) -> None:
    with pytest.raises(ValueError, match="finite"):
        to_wire({"progress": number})


def test_a_date_of_any_zone_becomes_utc_with_milliseconds_and_z() -> None:
    there = datetime(2026, 11, 22, 22, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert iso_timestamp(there) == "2026-11-22T20:30:00.123Z"
    assert moment(to_wire(there))


def test_days_enums_and_tuples_are_serialized() -> None:
    told = to_wire({"day": date(2026, 1, 2), "colour": Colour.RED, "pair": (1, Decimal("0.10"))})
    assert told == {"day": "2026-01-02", "colour": "3", "pair": ["1", "0.1"]}


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, lambda: 1])
def test_other_types_are_rejected(value) -> None:
    with pytest.raises(TypeError, match="cannot carry"):
        to_json({"value": value})
