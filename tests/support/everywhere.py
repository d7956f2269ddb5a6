"""Somebody who listens to every room at once, and remembers the numbers that came."""

import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from app.realtime.redis_keys import CHANNEL_PREFIX

SEQ = re.compile(rb'"seq": ?"(\d+)"')

Heard = dict[str, list[int]]


@contextmanager
def hear_everything(client: "redis.Redis[bytes]") -> Iterator[Heard]:
    """The `seq` of each event by room, in the order of arrival, while the `with` lasts."""
    heard: Heard = defaultdict(list)

    def note(message: dict[str, bytes]) -> None:
        room = message["channel"].decode().removeprefix(CHANNEL_PREFIX)
        heard[room].extend(int(seq) for seq in SEQ.findall(message["data"])[:1])

    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.psubscribe(**{f"{CHANNEL_PREFIX}*": note})
        reader: threading.Thread = listener.run_in_thread(sleep_time=0.1, daemon=True)
        yield heard
        reader.stop()
        reader.join(5)
