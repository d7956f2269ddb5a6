"""Notices rooms that are ahead of a database restored from an older copy."""

from typing import cast

import sqlalchemy as sa

from app.core.extensions import db, redis_client
from app.realtime import emitter, limiter
from app.realtime.outbox import EventCounter
from app.realtime.redis_keys import COMPARED_KEY, room_key, slot_of_key

PROTOCOLS_PER_COMPARISON = 1000


def compare_positions() -> int:
    """Rewind rooms whose position is ahead of the database's, as after a restore; returns how many.

    Each call compares the next thousand protocols. Raises redis.RedisError.
    """
    client = redis_client()
    after = cast(bytes, client.get(COMPARED_KEY) or b"").decode()
    page = sa.select(EventCounter.protocol_id).order_by(EventCounter.protocol_id).limit(PROTOCOLS_PER_COMPARISON)
    protocol_ids = list(db.session.scalars(page.where(EventCounter.protocol_id > after)))
    db.session.rollback()
    client.set(COMPARED_KEY, protocol_ids[-1] if len(protocol_ids) == PROTOCOLS_PER_COMPARISON else "")
    keys = [room_key(protocol_id, "state") for protocol_id in protocol_ids]
    calls = [(slot_of_key(key), ("HGET", key, "outbox")) for key in keys]
    in_redis = emitter.rooms_redis().execute(calls) if calls else []
    counters = sa.select(EventCounter.protocol_id, EventCounter.position)  # read after Redis, so that none is too old
    rows = db.session.execute(counters.where(EventCounter.protocol_id.in_(protocol_ids)))
    stored = {row.protocol_id: row.position for row in rows}
    db.session.rollback()
    known = [
        (each, position) for each, position in zip(protocol_ids, in_redis, strict=True) if isinstance(position, bytes)
    ]
    ahead = [each for each, position in known if int(position) > stored[each]]
    for protocol_id in ahead:
        emitter.record_outcome(limiter.rewind(protocol_id, stored[protocol_id]))
    return len(ahead)
