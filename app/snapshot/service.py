"""The snapshot of a protocol, which clients fetch after joining and after a gap (spec: reconnects)."""

import hashlib
from typing import Any

import msgspec

from app.agents import agent_snapshot as agents
from app.core.database import consistent_read, utc_now
from app.core.serialization import iso_timestamp
from app.core.singleflight import SingleFlight
from app.http.compression import CompressibleBody
from app.payments import service as payments
from app.protocols import service as bounties
from app.protocols import service as protocols
from app.protocols.schemas import ProtocolSchema
from app.realtime import limiter
from app.realtime.redis_keys import batched_view
from app.vulnerabilities import queries as vulnerabilities

SECTIONS = (
    bounties.snapshot_section,
    agents.snapshot_section,
    vulnerabilities.snapshot_section,
    payments.snapshot_section,
)
_encode = msgspec.json.Encoder().encode
_renderings: SingleFlight[tuple[CompressibleBody, str]] = SingleFlight()


def render(protocol_id: str, *, batches: bool) -> tuple[CompressibleBody, str]:
    """The snapshot as JSON, and its entity tag; concurrent callers share one rendering."""
    return _renderings.share(f"{batches} {protocol_id}", lambda: _render_now(protocol_id, batches=batches))


def _render_now(protocol_id: str, *, batches: bool) -> tuple[CompressibleBody, str]:
    state = snapshot(protocol_id, batches=batches)
    text = _encode(state)
    untimed = text.replace(_encode(state["asOf"]), b"", 1)
    return CompressibleBody(text), hashlib.sha256(untimed).hexdigest()[:32]


def snapshot(protocol_id: str, *, batches: bool = False) -> dict[str, Any]:
    """Read `seq` first, then all sections as of one moment.

    So no event up to `seq` is missing, later ones may be included, and no section is ahead of another.
    `batches`: for connections that joined with `agentBatches`, whose events are numbered separately.
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
