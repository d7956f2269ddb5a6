"""How many agents are busy, as far as a reader may know: an agent at work on a protocol is part of that protocol."""

from collections.abc import Collection
from typing import Any

from app.extensions import redis_client
from app.realtime.rooms import BUSY_KEY, ON_KEY

SLICE = 1000
MOST_LOOKED_AT = 20_000


def busy(since_us: float, protocol_ids: Collection[str] | None) -> int:
    """Agents with a running task in one of these protocols (None: any) since then. Raises redis.RedisError.

    For some protocols each busy agent is asked for its own, of the 20,000 last heard: beyond, that is the least number.
    """
    client = redis_client()
    if protocol_ids is None:
        return int(client.zcount(BUSY_KEY, since_us, "+inf"))
    if not protocol_ids:
        return 0
    agents: Any = client.zrevrangebyscore(BUSY_KEY, "+inf", since_us, start=0, num=MOST_LOOKED_AT)
    granted = {protocol_id.encode() for protocol_id in protocol_ids}
    found = 0
    for first in range(0, len(agents), SLICE):
        tasks: Any = client.hmget(ON_KEY, agents[first : first + SLICE])
        found += sum((task or b"").partition(b" ")[0] in granted for task in tasks)
    return found
