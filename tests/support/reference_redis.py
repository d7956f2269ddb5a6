"""The reference page of Redis's keys, read from the docstring of app/realtime/redis_keys.py (`make docs`)."""

import re

from app.realtime import redis_keys

_KEYS_INTRODUCTION = """\
# Redis keys

Read from `app/realtime/redis_keys.py` by `make docs`: do not edit. [Bounds](../bounds.md#redis-keys) says how each key
is bounded, and lists those of Celery and kombu.

"""


def redis_keys_page() -> str:
    """The docstring, which is Markdown, without its first sentence."""
    body = (redis_keys.__doc__ or "").partition("\n\n")[2].strip()
    return _KEYS_INTRODUCTION + re.sub(r"(?<![`\w/])((?:docs|app|lua)/[\w/.]*\b/?)", r"`\1`", body) + "\n"


def table_rows(page: str) -> list[list[str]]:
    """The cells of each row of the page's tables, headers included."""
    rows = [line.strip().strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if not set("".join(row)) <= set("-: ")]
