"""How many agents there are, as far as a reader may know: an agent at work on a protocol is part of that protocol."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select

from app.agents.hearing import ONLINE_SECONDS
from app.agents.models import Agent, TaskStatus
from app.agents.overview import snapshot_section
from app.extensions import db, redis_client
from app.observability.redis_clock import redis_clock
from app.realtime.rooms import BUSY_KEY, HEARD_KEY, ON_KEY

SLICE = 1000
MOST_LOOKED_AT = 20_000


def counts(protocol_id: str | None, granted: Collection[str] | None) -> dict[str, int]:
    """How many agents are online (heard within 120 s), busy (with a running task, in `granted` ones) and offline."""
    if protocol_id is not None:
        section = snapshot_section(protocol_id)
        online = [each for each in section if each["presence"] == "ONLINE"]
        busy = sum(each["status"] == TaskStatus.RUNNING for each in online)
        return {"online": len(online), "busy": busy, "offline": len(section) - len(online)}
    since = (redis_clock().now() - ONLINE_SECONDS) * 1e6
    online_count = int(redis_client().zcount(HEARD_KEY, since, "+inf"))
    everyone = db.session.scalar(select(func.count()).select_from(Agent)) or 0
    return {
        "online": online_count,
        "busy": _busy(since, granted),
        "offline": max(everyone - online_count, 0),
    }


def _busy(since_us: float, protocol_ids: Collection[str] | None) -> int:
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
