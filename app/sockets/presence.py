"""Connections per protocol across all web processes. A dead process stops counting within 15 s."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.core.extensions import redis_client
from app.observability import process_registry
from app.sockets.connections import Connections

LIFETIME_SECONDS = 15


def announce(here: Connections) -> None:
    """Publish this process's connections by protocol and its crowded tokens and addresses; read the others' crowds.

    Raises redis.RedisError.
    """
    counts = Counter(each.protocol_id for each in here.all() if each.protocol_id)
    with redis_client().pipeline() as pipe:
        _put(pipe, f"presence:{process_registry.UNIQUE_ID}", counts)
        _put(pipe, f"crowded:{process_registry.UNIQUE_ID}", here.crowded())
        pipe.execute()
    process_registry.announce("web", ("web",))
    here.elsewhere = _sum("crowded:", without=process_registry.UNIQUE_ID)


def _put(pipe: Any, key: str, counts: Mapping[Any, int]) -> None:
    pipe.delete(key)
    if counts:
        pipe.hset(key, mapping=dict(counts))
        pipe.expire(key, LIFETIME_SECONDS)


def connections_by_protocol() -> dict[str, int]:
    """Open connections by protocol, summed over all live web processes. Raises redis.RedisError."""
    return dict(_sum("presence:"))


def _sum(prefix: str, without: str = "") -> Counter[str]:
    """The counts that the live web processes have published under this prefix, summed."""
    web = [each.unique_id for each in process_registry.known() if each.kind == "web" and not each.is_silent]
    total: Counter[str] = Counter()
    with redis_client().pipeline(transaction=False) as pipe:
        for process in web:
            if process != without:
                pipe.hgetall(prefix + process)
        for counts in pipe.execute():
            total.update({name.decode(): int(count) for name, count in counts.items()})
    return total
