"""The state of a protocol at a moment: what a client fetches after joining and after a gap (spec: reconnects)."""

import hashlib
from typing import Any

import msgspec

from app.agents import agent_snapshot as agents
from app.bounties import service as bounties
from app.core.database import consistent_read, utc_now
from app.core.serialization import iso_timestamp
from app.core.singleflight import SingleFlight
from app.http.compression import CompressibleBody
from app.payments import service as payments
from app.protocols import service as protocols
from app.protocols.schemas import ProtocolSchema
from app.realtime import limiter
from app.realtime.redis_keys import batched_view
from app.vulnerabilities import lists as vulnerabilities

SECTIONS = (
    bounties.snapshot_section,
    agents.snapshot_section,
    vulnerabilities.snapshot_section,
    payments.snapshot_section,
)
_encode = msgspec.json.Encoder().encode
_flight: SingleFlight[tuple[CompressibleBody, str]] = SingleFlight()


def rendered(protocol_id: str, *, batches: bool) -> tuple[CompressibleBody, str]:
    """The snapshot as JSON, and a tag that changes when it does; callers at the same time share one."""
    return _flight.share(f"{batches} {protocol_id}", lambda: _render(protocol_id, batches=batches))


def _render(protocol_id: str, *, batches: bool) -> tuple[CompressibleBody, str]:
    state = snapshot(protocol_id, batches=batches)
    text = _encode(state)
    untimed = text.replace(_encode(state["asOf"]), b"", 1)
    return CompressibleBody(text), hashlib.sha256(untimed).hexdigest()[:32]


def snapshot(protocol_id: str, *, batches: bool = False) -> dict[str, Any]:
    """`seq` first, then all the rest as of one moment: an event with a higher `seq` may be in it already, none with a
    lower one is missing, and no part of it is ahead of another.

    `batches`: for connections that joined with `agentBatches`, whose events are numbered apart.
    Raises NotFound, redis.RedisError.
    """
    protocols.check_exists(protocol_id)
    seq = limiter.current_seq(batched_view(protocol_id) if batches else protocol_id)
    as_of = iso_timestamp(utc_now())
    with consistent_read():
        state = {"protocol": ProtocolSchema().dump(protocols.get(protocol_id)), "seq": seq, "asOf": as_of}
        for read_section in SECTIONS:
            state |= read_section(protocol_id)
    return state
