"""Records the sequence numbers published to rooms."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis

from app.realtime.redis_keys import channel_of, view_of

CHANNELS_AT_ONCE = 500

SeqsByRoom = dict[str, list[int]]


@contextmanager
def record_rooms(client: "redis.Redis[bytes]", protocol_ids: Sequence[str]) -> Iterator[SeqsByRoom]:
    """Collect the `seq` of each event by room, in order of arrival, while the `with` block runs."""
    seqs: SeqsByRoom = defaultdict(list)

    def record(message: dict[str, bytes]) -> None:
        seqs[view_of(message["channel"].decode())].append(int(message["data"].split(b" ", 2)[1]))

    pool = client.connection_pool
    connections = redis.ConnectionPool(pool.connection_class, **pool.connection_kwargs | {"socket_timeout": None})
    patient = redis.Redis.from_pool(connections)
    with patient, patient.pubsub(ignore_subscribe_messages=True) as pubsub:
        for first in range(0, len(protocol_ids), CHANNELS_AT_ONCE):
            channels = map(channel_of, protocol_ids[first : first + CHANNELS_AT_ONCE])
            pubsub.ssubscribe(**dict.fromkeys(channels, record))
        reader: threading.Thread = pubsub.run_in_thread(sleep_time=0.1, daemon=True)
        yield seqs
        reader.stop()
        reader.join(5)
