"""Moves Redis's clock as the scripts see it; setting the clock of the server requires root."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from app.core.extensions import redis_client
from app.realtime import scripts

OFFSET_KEY = "test:clock:offset"
_CALL = "redis.call('TIME')"
_MOVED = f"""(function()
  local t, offset = redis.call('TIME'), tonumber(redis.call('GET', '{OFFSET_KEY}') or 0)
  return {{tonumber(t[1]) + offset, t[2]}}
end)()"""


@contextmanager
def movable_clock(patch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """`with movable_clock(monkeypatch) as set_clock: set_clock(-40)`: an offset in seconds from the real time."""
    original = scripts.source.__wrapped__
    with patch.context() as patched:
        patched.setattr(scripts, "source", lambda operation: original(operation).replace(_CALL, _MOVED))
        scripts._sha.cache_clear()
        yield lambda seconds: redis_client().set(OFFSET_KEY, seconds)
    scripts._sha.cache_clear()


FROZEN_KEY = "test:clock"
_FROZEN = f"(function() local t = redis.call('GET', '{FROZEN_KEY}') return {{t:sub(1, -7), t:sub(-6)}} end)()"


def frozen(source: str) -> str:
    """The script with the time of `FROZEN_KEY`, in microseconds, as its clock."""
    return source.replace(_CALL, _FROZEN)
