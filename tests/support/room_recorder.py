"""Records the sequence numbers published to every room."""

import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from app.realtime.redis_keys import CHANNEL_PREFIX

SEQ = re.compile(rb'"seq": ?"(\d+)"')

SeqsByRoom = dict[str, list[int]]


@contextmanager
def record_all_rooms(client: "redis.Redis[bytes]") -> Iterator[SeqsByRoom]:
    """Collect the `seq` of each event by room, in order of arrival, while the `with` block runs."""
    seqs: SeqsByRoom = defaultdict(list)

    def record(message: dict[str, bytes]) -> None:
        room = message["channel"].decode().removeprefix(CHANNEL_PREFIX)
        seqs[room].extend(int(seq) for seq in SEQ.findall(message["data"])[:1])

    pool = client.connection_pool
    connections = redis.ConnectionPool(pool.connection_class, **pool.connection_kwargs | {"socket_timeout": None})
    patient = redis.Redis.from_pool(connections)
    with patient, patient.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.psubscribe(**{f"{CHANNEL_PREFIX}*": record})
        reader: threading.Thread = pubsub.run_in_thread(sleep_time=0.1, daemon=True)
        yield seqs
        reader.stop()
        reader.join(5)
