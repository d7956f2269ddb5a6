"""How many agents there are, as far as a reader may know: counted where they are stored, never listed."""

from collections.abc import Collection

import redis
from sqlalchemy import func, select

from app.agents.last_seen import ONLINE_SECONDS, now_us
from app.agents.models import Agent
from app.core.extensions import db, redis_client
from app.realtime.redis_keys import BUSY_KEY, LAST_SEEN_KEY, busy_key, last_seen_key


def counts(protocol_id: str | None, granted: Collection[str] | None) -> dict[str, int]:
    """How many agents are online (heard within 120 s), busy (with a running task, in `granted` ones) and offline.

    Of one protocol: those whose last task that was stored is its own. Raises redis.RedisError.
    """
    client = redis_client()
    since = now_us() - ONLINE_SECONDS * 1e6
    everyone = select(func.count()).select_from(Agent)
    if protocol_id is not None:
        everyone = everyone.where(Agent.task_protocol_id == protocol_id)
    online = int(client.zcount(LAST_SEEN_KEY if protocol_id is None else last_seen_key(protocol_id), since, "+inf"))
    total = db.session.scalar(everyone) or 0
    return {"online": online, "busy": _busy(client, since, granted), "offline": max(total - online, 0)}


def _busy(client: redis.Redis, since_us: float, protocol_ids: Collection[str] | None) -> int:
    """Agents with a running task in one of these protocols (None: any) since then."""
    if protocol_ids is None:
        return int(client.zcount(BUSY_KEY, since_us, "+inf"))
    with client.pipeline(transaction=False) as pipe:
        for protocol_id in protocol_ids:
            pipe.zcount(busy_key(protocol_id), since_us, "+inf")
        return sum(pipe.execute())
