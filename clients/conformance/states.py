"""Compares a client's state with the room's, and finds what no state may ever show."""

import itertools
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from clients.conformance.room import OPEN, PROTOCOL

State = dict[str, Any]
POOL = ("currency", "total", "available", "reserved", "paid", "version")
AGENT = ("agentId", "task", "progress", "status", "error", "version")
FINDING = ("id", "title", "severity", "status", "bounty", "version")
PAYMENT = ("id", "vulnerabilityId", "amount", "status")
MONEY = {"total", "available", "reserved", "paid", "amount", "bounty"}
_INTEGER = re.compile(r"[0-9]+")


def normalised(state: State) -> State:
    """The members that must be equal: numbers as text, money without needless zeros, lists sorted by id.

    A missing member equals null. Left out is what depends on the time of reading, and what no event announces.
    """
    vulnerabilities = state.get("vulnerabilities") or {}
    counts = (vulnerabilities.get("counts") or {}).get("byStatus") or {}
    return {
        "pool": _members(state.get("pool") or {}, POOL),
        "agents": _by_id(_members(each, AGENT) for each in state.get("agents") or []),
        "open": _by_id(_members(each, FINDING) for each in vulnerabilities.get("open") or []),
        "counts": {status: _text(status, count) for status, count in counts.items() if int(count)},
        "agentsTruncated": bool(state.get("agentsTruncated")),
        "payments": _by_id(_members(each, PAYMENT) for each in state.get("payments") or []),
    }


def _members(thing: State, names: Iterable[str]) -> State:
    return {name: _text(name, thing.get(name)) for name in names}


def _text(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, dict)):
        return value
    return f"{Decimal(str(value)).normalize():f}" if name in MONEY else str(value)


def _by_id(items: Iterable[State]) -> list[State]:
    return sorted(items, key=lambda item: str(item.get("id") or item.get("agentId")))


def difference(held: State | None, expected: State) -> str | None:
    """How a client's state differs from the expected one, or None."""
    if held is None:
        return "the client has shown no state"
    held, expected = normalised(held), normalised(expected)
    parts = [f"{part}: {held[part]} instead of {expected[part]}" for part in expected if held[part] != expected[part]]
    return "; ".join(parts) or None


def faults_of(states: list[State], *, may_rewind: bool) -> list[str]:
    """What contradicts itself in one state, and what goes back from one state to the next."""
    found = [fault for state in states for fault in contradictions(state, PROTOCOL)]
    if not may_rewind:
        for before, after in itertools.pairwise(states):
            found += _setbacks(_versions(before), _versions(after))
    return list(dict.fromkeys(found))


def contradictions(state: State, protocol_id: str) -> Iterable[str]:
    """What cannot be true at any one moment."""
    pool = state["pool"]
    total, available, reserved, paid = (Decimal(pool[name]) for name in ("total", "available", "reserved", "paid"))
    if total != available + reserved + paid:
        yield f"the pool's amounts do not add up: {pool}"
    if available < 0:
        yield f"the pool is overdrawn: {pool}"
    held = state["vulnerabilities"]["open"]
    for status in OPEN:
        counted = int(state["vulnerabilities"]["counts"].get("byStatus", {}).get(status, 0))
        shown = sum(each["status"] == status for each in held)
        if counted != shown and not state["vulnerabilities"].get("openTruncated"):
            yield f"{counted} vulnerabilities are counted as {status}, and {shown} are shown"
    for name, items in (("agents", state["agents"]), ("open", held), ("payments", state["payments"])):
        ids = [each.get("id") or each.get("agentId") for each in items]
        if len(ids) != len(set(ids)):
            yield f"{name} has an id twice: {ids}"
    if state["protocol"]["id"] != protocol_id:
        yield f"the state is of another protocol: {state['protocol']}"


def _versions(state: State) -> dict[str, int]:
    found = {"the pool": state["pool"]["version"]}
    found |= {f"agent {each['agentId']}": each["version"] for each in state["agents"]}
    found |= {f"vulnerability {each['id']}": each["version"] for each in state["vulnerabilities"]["open"]}
    found |= {f"payment {each['id']}": each["version"] for each in state["payments"]}
    return {name: int(version) for name, version in found.items() if _INTEGER.fullmatch(str(version))}


def _setbacks(before: dict[str, int], after: dict[str, int]) -> Iterable[str]:
    for name in before.keys() & after.keys():
        if after[name] < before[name]:
            yield f"{name} went back from version {before[name]} to {after[name]}"
