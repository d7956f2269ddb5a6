"""The state of a protocol at a moment: what a client fetches after joining and after a gap (spec: reconnects)."""

from collections.abc import Callable
from typing import Any

from app.database import utc_now
from app.protocols import service
from app.realtime import meter

SECTIONS: dict[str, Callable[[str], Any]] = {}
"""Part of the snapshot → what makes it, given the protocol's id. The features above add theirs in create_app()."""


def snapshot(protocol_id: str) -> dict[str, Any]:
    """`seq` first, then the rest: an event with a higher `seq` may be in it already, none with a lower one is missing.

    Raises NotFound, redis.RedisError.
    """
    protocol = service.get(protocol_id)
    seq = meter.current_seq(protocol_id)
    state: dict[str, Any] = {"protocol": protocol, "seq": seq, "as_of": utc_now()}
    for name, section in SECTIONS.items():
        state[name] = section(protocol_id)
    return state
