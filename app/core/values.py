"""Values that clients send and receive: amounts of money, times, numbers and texts. Imports no framework.

Source of the rules for texts: the section "Texts" of the contract. Lengths count code points.
"""

import json
import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

# Ids and times shared by the examples in the API documents.
PROTOCOL = "aave-v3"
AGENT = "scanner-7"
VULNERABILITY = "019a8f00-4b1c-7d30-9c55-2f6f1c0a9e01"
PAYMENT = "019a8f04-91aa-7f02-8d11-77c0a4b3d202"
ENTRY = "019a8f04-93c1-7a44-b6de-0b8e8f6c1d03"
MOMENT = "2026-11-22T20:30:00.123Z"
LATER = "2026-11-22T20:45:00.000Z"

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


@lru_cache(maxsize=4096)  # most amounts of a list are zero or repeat
def format_amount(minor: int) -> str:
    """The amount with at least 2 decimals, no exponent, and no trailing zeros beyond 2."""
    sign, minor = ("-", -minor) if minor < 0 else ("", minor)
    whole, fraction = divmod(minor, UNITS)
    decimals = f"{fraction:0{SCALE}d}".rstrip("0").ljust(_SHOWN_DECIMALS, "0")
    return f"{sign}{whole}.{decimals}"


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
    if isinstance(number, int):
        return str(int(number))
    exact = Decimal(str(number))
    if not exact.is_finite():
        raise ValueError(f"{number!r} is not a finite number")
    plain = format(exact, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def to_wire(value: Any) -> Any:  # noqa: PLR0911 - one line per kind of value
    """Convert `value` for an event: dates become ISO 8601, numbers become strings, at any depth."""
    match value:
        case Enum():
            return to_wire(value.value)
        case None | bool() | str():
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


ELLIPSIS = "…"
DESCRIPTION_LENGTH = 20_000
REASON_LENGTH = 2_000

# ECMA-48: control strings (OSC, DCS, SOS, PM, APC) with their terminator, control sequences (CSI), other escapes.
# Each also in its one-character C1 form. Of a string without terminator only the introducer is removed.
_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x08\x0b-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
)
_BIDI_CONTROLS = r"\u202a-\u202e\u2066-\u206f"  # embeddings, overrides, isolates; not the marks of ordinary RTL text
_SURROGATES = r"\ud800-\udfff"
_LINE_BREAKS = re.compile(r"\r\n?")
_NOT_IN_TEXT = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI_CONTROLS}{_SURROGATES}]")

_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
# White space, Unicode's Default_Ignorable_Code_Point and the blank Braille pattern.
_INVISIBLE = (
    r"\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_VISIBLE = re.compile(f"[^{_CONTROLS}{_INVISIBLE}]")
_NOT_IN_NAMES = (
    (re.compile(f"[{_CONTROLS}]"), "Must not hold control characters or line breaks."),
    (re.compile(f"[{_SURROGATES}]"), "Must not hold lone surrogates."),
    (re.compile(f"[{_BIDI_CONTROLS}]"), "Must not hold bidirectional overrides, embeddings or isolates."),
)

# The part of the rules that a short JSON Schema pattern can express.
NAME_PATTERN = rf"^(?=.*\S)[^{_CONTROLS}{_BIDI_CONTROLS}]+$"
VISIBLE_PATTERN = rf"[^\s{_CONTROLS}]"

_EXTENDS = re.compile("[\u200c\u200d\u1160-\u11ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_FLAG_LETTERS = re.compile("[\U0001f1e6-\U0001f1ff]*$")
_MAX_GRAPHEME = 64


def clean_text(value: str, limit: int) -> str:
    """Descriptive text as it is stored: LF line ends, no other controls, at most `limit` characters, `…` where cut.

    Removes terminal escape sequences, control characters but tabs, bidirectional controls and lone surrogates.
    """
    text = _ESCAPE_SEQUENCES.sub("", _LINE_BREAKS.sub("\n", value))
    text = _NOT_IN_TEXT.sub("", text)
    if len(text) <= limit:
        return text
    end = limit - len(ELLIPSIS)
    # The last place that does not split a grapheme of up to 64 code points.
    places = range(end, max(end - _MAX_GRAPHEME, 0), -1)
    return text[: next((at for at in places if not _is_inside_grapheme(text, at)), end)] + ELLIPSIS


def naming_problem(value: str) -> str | None:
    """The reason why `value` is not allowed as a name, as a sentence for the client; None if it is allowed."""
    if value.isascii() and value.isprintable() and value.strip():
        return None
    for found, problem in _NOT_IN_NAMES:
        if found.search(value):
            return problem
    return None if is_visible(value) else "Must hold something visible."


def is_visible(text: str) -> bool:
    """Whether `text` has any visible character."""
    return _VISIBLE.search(text) is not None


def _is_inside_grapheme(text: str, at: int) -> bool:
    following = text[at]
    if text[at - 1] == "\u200d" or _EXTENDS.match(following) or unicodedata.category(following).startswith("M"):
        return True
    before = _FLAG_LETTERS.search(text, max(at - _MAX_GRAPHEME, 0), at)
    return "\U0001f1e6" <= following <= "\U0001f1ff" and before is not None and len(before.group()) % 2 == 1
