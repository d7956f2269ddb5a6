"""Money: decimal strings for clients, whole minor units of 10⁻⁶ inside. Imports no framework."""

import re

SCALE = 6
UNITS = 10**SCALE
MAX_AMOUNT = 999_999_999_999 * UNITS + UNITS - 1
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,6}))?", re.ASCII)
_SHOWN_DECIMALS = 2


def parse_amount(text: object) -> int:
    """Minor units of a decimal string such as `"1000.00"`. Raises ValueError with a message for the client.

    JSON numbers are rejected: as floats they have already lost precision.
    """
    if not isinstance(text, str):
        raise ValueError('must be a decimal string such as "1000.00", not a JSON number')  # noqa: TRY004
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError("must be a plain decimal number with at most 12 digits before and 6 after the point")
    whole, fraction = match.groups()
    minor = int(whole) * UNITS + int((fraction or "").ljust(SCALE, "0"))
    if minor == 0:
        raise ValueError("must be more than zero")
    return int(minor)


def format_amount(minor: int) -> str:
    """The amount with at least 2 decimals, no exponent, and no trailing zeros beyond 2."""
    sign, minor = ("-", -minor) if minor < 0 else ("", minor)
    whole, fraction = divmod(minor, UNITS)
    decimals = f"{fraction:0{SCALE}d}".rstrip("0").ljust(_SHOWN_DECIMALS, "0")
    return f"{sign}{whole}.{decimals}"
