"""Who is connected to which room, across all web processes; a process that dies is forgotten within 15 s."""

import os
import socket
from collections import Counter
from collections.abc import Mapping
from typing import Any

import uuid_utils.compat as uuid

from app.extensions import redis_client
from app.observability.redis_clock import redis_clock
from app.realtime.connections import Connections

PROCESSES_KEY = "presence:processes"
LIFETIME_SECONDS = 15
PROCESS_ID = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def announce(here: Connections) -> None:
    """Say how many connections each protocol has in this process, and whose are many; learn the latter of the others.

    Raises redis.RedisError.
    """
    counts = Counter(each.protocol_id for each in here.all() if each.protocol_id)
    with redis_client().pipeline() as pipe:
        _put(pipe, f"presence:{PROCESS_ID}", counts)
        _put(pipe, f"crowded:{PROCESS_ID}", here.busy())
        note_alive(pipe, PROCESSES_KEY, PROCESS_ID, LIFETIME_SECONDS)
        pipe.execute()

    here.elsewhere = _sum("crowded:", without=PROCESS_ID)


def note_alive(pipe: Any, key: str, member: str, lifetime: float) -> None:
    """Note in a sorted set that a process lives, and forget those whose note is old.

    A note of the future is one from before Redis's clock stepped back: a living process renews it at once.
    """
    now = redis_clock().now()
    pipe.zadd(key, {member: now})
    pipe.zremrangebyscore(key, "-inf", now - lifetime)
    pipe.zremrangebyscore(key, now + lifetime, "+inf")


def _put(pipe: Any, key: str, counts: Mapping[Any, int]) -> None:
    pipe.delete(key)
    if counts:
        pipe.hset(key, mapping=dict(counts))
        pipe.expire(key, LIFETIME_SECONDS)


def connections_by_protocol() -> dict[str, int]:
    """Protocol → open connections in its room, over all living web processes. Raises redis.RedisError."""
    return dict(_sum("presence:"))


def _sum(prefix: str, without: str = "") -> Counter[str]:
    """What the living web processes have put under this name, added up."""
    client = redis_client()
    living: list[Any] = client.zrangebyscore(PROCESSES_KEY, redis_clock().now() - LIFETIME_SECONDS, "+inf")
    total: Counter[str] = Counter()
    with client.pipeline(transaction=False) as pipe:
        for process in living:
            if process.decode() != without:
                pipe.hgetall(prefix + process.decode())
        for counts in pipe.execute():
            total.update({name.decode(): int(count) for name, count in counts.items()})
    return total
