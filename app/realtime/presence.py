"""Who is connected to which room, across all web processes; a process that dies is forgotten within 15 s."""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import uuid_utils.compat as uuid

from app.extensions import redis_client
from app.realtime.connections import Connection

PROCESSES_KEY = "presence:processes"
LIFETIME_SECONDS = 15
PROCESS_ID = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def announce(connections: Iterable[Connection]) -> None:
    """Say how many connections each protocol has in this process. Raises redis.RedisError."""
    counts: Counter[Any] = Counter(each.protocol_id for each in connections if each.protocol_id)
    key = f"presence:{PROCESS_ID}"
    with redis_client().pipeline() as pipe:
        pipe.delete(key)
        if counts:
            pipe.hset(key, mapping=dict(counts))
            pipe.expire(key, LIFETIME_SECONDS)
        pipe.zadd(PROCESSES_KEY, {PROCESS_ID: time.time()})
        pipe.zremrangebyscore(PROCESSES_KEY, "-inf", time.time() - LIFETIME_SECONDS)
        pipe.execute()


def connections_by_protocol() -> dict[str, int]:
    """Protocol → open connections in its room, over all living web processes. Raises redis.RedisError."""
    client = redis_client()
    living: list[Any] = client.zrangebyscore(PROCESSES_KEY, time.time() - LIFETIME_SECONDS, "+inf")
    total: Counter[str] = Counter()
    with client.pipeline(transaction=False) as pipe:
        for process in living:
            pipe.hgetall("presence:" + process.decode())
        for counts in pipe.execute():
            total.update({room.decode(): int(count) for room, count in counts.items()})
    return dict(total)
