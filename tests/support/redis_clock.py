"""Moves Redis's clock as the scripts see it; setting the clock of the server requires root."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from app.core.extensions import redis_client
from app.realtime import scripts
from app.realtime.redis_keys import PARTITIONS, partition_key

OFFSET_KEY = "test:clock:offset"
_CALL = "redis.call('TIME')"
_MOVED = f"""(function()
  local t, offset = redis.call('TIME'), tonumber(redis.call('GET', '{OFFSET_KEY}') or 0)
  return {{tonumber(t[1]) + offset, t[2]}}
end)()"""


MEMORY_SECONDS = 60


def age_memory(client: "redis.Redis[bytes]") -> None:
    """Let the memory of an empty Redis have begun a minute ago; nothing may be emitted within its first second."""
    seconds, micros = client.time()
    now = seconds * 1_000_000 + micros
    clock = f"{now} 0 {now - MEMORY_SECONDS * 1_000_000} {client.info('server')['run_id']}"
    client.mset({partition_key(partition, "clock"): clock for partition in range(PARTITIONS)})


@contextmanager
def movable_clock(patch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """`with movable_clock(monkeypatch) as set_clock: set_clock(-40)`: an offset in seconds from the real time."""
    original = scripts.source.__wrapped__
    with patch.context() as patched:
        patched.setattr(scripts, "source", lambda operation: original(operation).replace(_CALL, _MOVED))
        scripts._sha.cache_clear()
        yield lambda seconds: redis_client().set(OFFSET_KEY, seconds)
    scripts._sha.cache_clear()
