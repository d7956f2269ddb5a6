"""Whether a secret looks guessed rather than made: too short, repeated, of few characters, or a placeholder."""

import re

MIN_CHARACTERS = 8
_PLACEHOLDERS = re.compile(
    "change|secret|password|passwd|passphrase|example|default|placeholder|insert|replace|please|letmein|qwerty|"
    "dashboard|signing|token|payout|your|test|this|here|with|key|me",
    re.IGNORECASE,
)


def is_weak(secret: str, least_bytes: int) -> bool:
    """What is left of it, told once and without the words of examples, must be half as long and of some variety."""
    if len(secret.encode()) < least_bytes:
        return True
    left = _PLACEHOLDERS.sub("", _told_once(secret))
    return len(left) < least_bytes // 2 or len(set(left)) < MIN_CHARACTERS


def _told_once(text: str) -> str:
    """The part that the text repeats, also where its last turn is cut off; all of it when it repeats nothing."""
    for period in range(1, len(text) // 2 + 1):
        if text[period:] == text[:-period]:
            return text[:period]
    return text
