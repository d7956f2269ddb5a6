"""Whether a secret looks guessed rather than made: too short, or of few characters."""

FEWEST_CHARACTERS = 8


def is_weak(secret: str, least_bytes: int) -> bool:
    return len(secret.encode()) < least_bytes or len(set(secret)) < FEWEST_CHARACTERS
