"""The two rules for text from callers: descriptions are cleaned and cut, invalid names are rejected.

Source: the section "Texts" of the contract. Lengths count code points.
"""

import re
import unicodedata

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

_JOINER = "\u200d"
_EXTENDS = re.compile("[\u200c\u200d\u1160-\u11ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_FLAG_LETTERS = re.compile("[\U0001f1e6-\U0001f1ff]*$")
_MAX_GRAPHEME = 64


def clean_text(value: str, limit: int) -> str:
    """Descriptive text as it is stored: LF line ends, no other controls, at most `limit` characters, `…` where cut.

    Removes terminal escape sequences, control characters but tabs, bidirectional controls and lone surrogates.
    """
    text = _ESCAPE_SEQUENCES.sub("", _LINE_BREAKS.sub("\n", value))
    text = _NOT_IN_TEXT.sub("", text)
    return text if len(text) <= limit else text[: _cut_before(text, limit - len(ELLIPSIS))] + ELLIPSIS


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


def _cut_before(text: str, position: int) -> int:
    """The last place at or before `position` that does not split a grapheme of up to 64 code points."""
    for at in range(position, max(position - _MAX_GRAPHEME, 0), -1):
        if not _is_inside_grapheme(text, at):
            return at
    return position


def _is_inside_grapheme(text: str, at: int) -> bool:
    following = text[at]
    if text[at - 1] == _JOINER or _EXTENDS.match(following) or unicodedata.category(following).startswith("M"):
        return True
    before = _FLAG_LETTERS.search(text, max(at - _MAX_GRAPHEME, 0), at)
    return "\U0001f1e6" <= following <= "\U0001f1ff" and before is not None and len(before.group()) % 2 == 1
