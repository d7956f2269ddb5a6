"""How an event changes a room's state. Pure.

An object with a `version` is replaced only by a newer one, so an event that the snapshot already contains, or that
arrives twice, changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from dashboard_realtime.room.frozen import freeze
from dashboard_realtime.room.state import Held, Objects

OPEN = ("PENDING", "CONFIRMED")
Json = Mapping[str, Any]


class Applied(Enum):
    """The result of applying an event. UNKNOWN: its object is not held, so a new snapshot is needed."""

    YES = "yes"
    OLD = "old"
    UNKNOWN = "unknown"


Merged = tuple[Held, Applied]


def apply_event(held: Held, event: Json) -> Merged:
    """The state after an event; unknown events change nothing."""
    apply = _APPLY.get(str(event.get("eventType")))
    return apply(held, event["data"], event) if apply else (held, Applied.OLD)


def is_newer(version: str, held: Any) -> bool:
    return held is None or int(version) > int(held)


def _with(objects: Objects, key: str, value: Json) -> Objects:
    return {**objects, key: freeze(dict(value))}


def _apply_task(held: Held, data: Json, event: Json) -> Merged:
    return _apply_tasks(held, {"updates": [data]}, event)


def _apply_tasks(held: Held, data: Json, event: Json) -> Merged:
    agents, results = dict(held.agents), set()
    for each in data["updates"]:
        agent = agents.get(each["agentId"])
        if not is_newer(each["version"], agent.get("version") if agent else None):
            results.add(Applied.OLD)
            continue
        seen = {"presence": "ONLINE", "lastSeen": event["timestamp"]}
        agents[each["agentId"]] = freeze({"name": None, "type": None, **(agent or {}), **each, **seen})
        results.add(Applied.YES if agent else Applied.UNKNOWN)
    worst = next(each for each in (Applied.UNKNOWN, Applied.YES, Applied.OLD) if each in results or each is Applied.OLD)
    return (held if worst is Applied.OLD else replace(held, agents=agents)), worst


def _apply_pool(held: Held, data: Json, event: Json) -> Merged:
    if not is_newer(data["version"], (held.pool or {}).get("version")):
        return held, Applied.OLD
    members = ("total", "available", "reserved", "paid", "currency", "version")
    held = replace(held, pool=freeze({**(held.pool or {}), **{name: data[name] for name in members}}))
    if data["changeType"] == "PAYMENT_RELEASED":
        return _apply_payment(held, data, event)
    return _apply_reservation(held, data) if data.get("vulnerabilityId") else (held, Applied.YES)


def _apply_payment(held: Held, data: Json, event: Json) -> Merged:
    payment = held.payments.get(data["paymentId"])
    if payment is None:
        return held, Applied.UNKNOWN
    paid = {**payment, "status": "RELEASED", "failureReason": None, "releasedAt": event["timestamp"]}
    return replace(held, payments=_with(held.payments, payment["id"], paid)), Applied.YES


def _apply_payment_status(held: Held, data: Json, _: Json) -> Merged:
    """A payment that is not held is shown at once, without its recipient, and fetched."""
    key, status, changed_at = data["paymentId"], data["newStatus"], data["changedAt"]
    payment = held.payments.get(key)
    if payment is not None and not is_newer(data["version"], payment.get("version")):
        return held, Applied.OLD
    first = {"id": key, "vulnerabilityId": data["vulnerabilityId"], "protocolId": held.protocol_id}
    first |= {"recipient": None, "lastError": None, "createdAt": changed_at}
    changed = {name: data[name] for name in ("amount", "currency", "failureReason", "attempts", "version")}
    changed |= {"status": status, "releasedAt": changed_at if status == "RELEASED" else None}
    vulnerabilities = held.open
    if found := vulnerabilities.get(data["vulnerabilityId"]):
        payment_id = payment_id_after(data, found.get("paymentId"))
        vulnerabilities = _with(vulnerabilities, found["id"], {**found, "paymentId": payment_id})
    payments = _with(held.payments, key, {**first, **(payment or {}), **changed})
    merged = replace(held, payments=payments, open=vulnerabilities)
    return merged, Applied.YES if payment is not None else Applied.UNKNOWN


def payment_id_after(data: Json, held: str | None) -> str | None:
    """The payment of a vulnerability after a payment's change: a cancelled one makes way for another."""
    if data["newStatus"] != "CANCELLED":
        return str(data["paymentId"])
    return None if held == data["paymentId"] else held


def _apply_discovery(held: Held, data: Json, _: Json) -> Merged:
    """A snapshot that is newer than the filing, and does not hold it as open, was read after it was decided."""
    key = data["vulnerabilityId"]
    if key in held.open or key in held.closed:
        return held, Applied.OLD
    if data["createdAt"] < held.rest["asOf"]:
        return held, Applied.UNKNOWN
    members = ("title", "severity", "status", "bounty", "agentId", "version", "createdAt")
    filed = {"id": key, **{name: data[name] for name in members}, "rejectionReason": None, "paymentId": None}
    filed |= {"updatedAt": data["createdAt"], "protocolId": held.protocol_id}
    counts = {
        **held.counts,
        "byStatus": _plus(held.counts.get("byStatus"), data["status"], 1),
        "bySeverity": _plus(held.counts.get("bySeverity"), data["severity"], 1),
        "total": str(int(held.counts.get("total") or 0) + 1),
    }
    return replace(held, open=_with(held.open, key, filed), counts=freeze(counts)), Applied.YES


def _apply_reservation(held: Held, data: Json) -> Merged:
    """A reservation follows a filing or a confirmation with a bounty, or a payment."""
    found = held.open.get(data["vulnerabilityId"])
    status = found and found["status"]
    if data["changeType"] == "RESERVATION_RELEASED" and status != "CONFIRMED":
        return held, Applied.YES
    if found is None or status != "PENDING":
        return held, Applied.UNKNOWN
    return replace(held, open=_with(held.open, found["id"], {**found, "bounty": data["amount"]})), Applied.YES


def _apply_status(held: Held, data: Json, event: Json) -> Merged:
    key, status, version = data["vulnerabilityId"], data["newStatus"], data["version"]
    found = held.open.get(key)
    known = found["version"] if found else held.closed.get(key)
    if known is not None and not is_newer(version, known):
        return held, Applied.OLD
    if found is None:
        return held, Applied.UNKNOWN
    by_status = _plus(_plus(held.counts.get("byStatus"), found["status"], -1), status, 1)
    held = replace(held, counts=freeze({**held.counts, "byStatus": by_status}))
    if status in OPEN:
        changed = {
            **found,
            "status": status,
            "version": version,
            "updatedAt": data.get("changedAt") or event["timestamp"],
        }
        return replace(held, open=_with(held.open, key, changed)), Applied.YES
    still_open = {each: value for each, value in held.open.items() if each != key}
    return replace(held, open=still_open, closed={**held.closed, key: version}), Applied.YES


def _plus(tally: Json | None, key: str, change: int) -> dict[str, Any]:
    counts = dict(tally or {})
    return counts | {key: str(max(0, int(counts.get(key) or 0) + change))}


_APPLY: dict[str, Callable[[Held, Json, Json], Merged]] = {
    "agent:task_update": _apply_task,
    "agent:task_updates": _apply_tasks,
    "bounty_pool:updated": _apply_pool,
    "payment:status_changed": _apply_payment_status,
    "vuln:discovered": _apply_discovery,
    "vuln:status_changed": _apply_status,
}
