"""A room's state of one protocol: what readers see. `merge.py` says how an event changes it.

States are never changed: each change makes a new one, which shares everything that did not change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from dashboard_realtime.room.frozen import FrozenDict, freeze
from dashboard_realtime.room.settings import Status

if TYPE_CHECKING:  # types only; the generated module is large
    from dashboard_realtime.rest import types

Objects = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Held:
    """The state by ids; `closed` holds the versions of vulnerabilities that were decided since the last snapshot."""

    rest: Mapping[str, Any]  # the members of `/state` that no event changes
    seq: str
    pool: Mapping[str, Any] | None
    agents: Objects
    open: Objects
    payments: Objects
    counts: Mapping[str, Any]
    vulnerabilities: Mapping[str, Any]  # further members of `vulnerabilities`
    closed: Mapping[str, str] = field(default_factory=dict)

    @property
    def protocol_id(self) -> str | None:
        return (self.rest.get("protocol") or {}).get("id")


def from_snapshot(body: Mapping[str, Any]) -> Held:
    """The state from the body of `GET /protocols/{id}/state`: lists become maps by id."""
    found = body.get("vulnerabilities") or {}
    own = ("seq", "pool", "agents", "vulnerabilities", "payments")
    return Held(
        rest=freeze({key: value for key, value in body.items() if key not in own}),
        seq=body["seq"],
        pool=freeze(body.get("pool")),
        agents={each["agentId"]: freeze(each) for each in body.get("agents") or ()},
        open={each["id"]: freeze(each) for each in found.get("open") or ()},
        payments={each["id"]: freeze(each) for each in body.get("payments") or ()},
        counts=freeze(found.get("counts") or {}),
        vulnerabilities=freeze({key: value for key, value in found.items() if key not in ("open", "counts")}),
    )


class RoomState(FrozenDict):
    """A consistent, read-only state in the form of `/state`: `state["pool"]["available"]`, or `state.pool[…]`.

    `status` and `stale_since` (None while it is live) tell whether it may be out of date.
    """

    status: Status
    stale_since: datetime | None
    _held: Held

    @classmethod
    def of(cls, held: Held, status: Status, stale_since: datetime | None) -> "RoomState":
        found = FrozenDict(held.vulnerabilities | {"open": [*held.open.values()], "counts": held.counts})  # type: ignore[operator]
        lists = {"agents": [*held.agents.values()], "vulnerabilities": found, "payments": [*held.payments.values()]}
        state = cls({**held.rest, "seq": held.seq, "pool": held.pool, **lists})
        state._held, state.status, state.stale_since = held, status, stale_since
        return state

    @property
    def is_live(self) -> bool:
        return self.status is Status.LIVE

    @property
    def seq(self) -> str:
        return self._held.seq

    @property
    def protocol(self) -> "types.Protocol":
        return cast("types.Protocol", self["protocol"])

    @property
    def pool(self) -> "types.Pool":
        return cast("types.Pool", self["pool"])

    @property
    def agents(self) -> "list[types.AgentState]":
        return cast("list[types.AgentState]", self["agents"])

    @property
    def vulnerabilities(self) -> "list[types.Vulnerability]":
        """The open ones."""
        return cast("list[types.Vulnerability]", self["vulnerabilities"]["open"])

    @property
    def counts(self) -> "types.VulnerabilityCounts":
        return cast("types.VulnerabilityCounts", self._held.counts)

    @property
    def payments(self) -> "list[types.Payment]":
        return cast("list[types.Payment]", self["payments"])

    def agent(self, agent_id: str) -> "types.AgentState | None":
        return cast("types.AgentState | None", self._held.agents.get(agent_id))

    def vulnerability(self, vulnerability_id: str) -> "types.Vulnerability | None":
        """An open one."""
        return cast("types.Vulnerability | None", self._held.open.get(vulnerability_id))

    def payment(self, payment_id: str) -> "types.Payment | None":
        return cast("types.Payment | None", self._held.payments.get(payment_id))
