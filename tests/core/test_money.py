from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.values import MAX_AMOUNT, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("1", 1_000_000),
        ("1000.00", 1_000_000_000),
        ("0.000001", 1),
        ("0.1", 100_000),
        ("999999999999.999999", MAX_AMOUNT),
    ],
)
def test_decimal_strings_become_whole_minor_units(text, minor):
    assert parse_amount(text) == minor


@pytest.mark.parametrize(
    "refused",
    [
        1, 1.5, True, None, [], {}, "", " 1", "1 ", "1\n", "+1", "-1", "0", "0.00", "0.0000001", "1.", ".5", "01",
        "1e3", "1E3", "1,5", "1_000", "NaN", "Infinity", "0x10", "１", "٣", "1000000000000",
        "999999999999.9999999", "1.2.3",
    ],
)  # fmt: skip
def test_other_amounts_are_rejected_with_a_reason(refused):
    with pytest.raises(ValueError, match="must be"):
        parse_amount(refused)


@pytest.mark.parametrize(
    ("minor", "text"),
    [(0, "0.00"), (1, "0.000001"), (100_000, "0.10"), (123_456, "0.123456"), (1_000_000_000, "1000.00"),
     (MAX_AMOUNT, "999999999999.999999"), (-2_500_000, "-2.50"), (120_000, "0.12"), (123_000, "0.123")],
)  # fmt: skip
def test_amounts_are_shown_with_two_decimals_or_as_many_as_they_need(minor, text):
    assert format_amount(minor) == text


@given(st.integers(min_value=1, max_value=MAX_AMOUNT))
def test_a_formatted_amount_parses_to_the_same_amount(minor):
    shown = format_amount(minor)
    assert parse_amount(shown) == minor
    assert Decimal(shown) * 1_000_000 == minor


def test_a_thousand_times_the_smallest_amount_is_exact():
    assert format_amount(sum(parse_amount("0.000001") for _ in range(1000))) == "0.001"
