"""Examples of whole bodies: put together from those of their members, so that a new route has them at once."""

from typing import Any

from app.apidocs.converter import NUMBER_SHOWN, Json
from app.core.examples import AGENT, LATER, MOMENT, PAYMENT, PROTOCOL, VULNERABILITY

_REPORT = {"protocolId": PROTOCOL, "task": "Symbolic execution of Vault.sol"}
_RUNNING = _REPORT | {"progress": 65, "estimatedCompletion": LATER}
_FAILURE = {"code": "RPC_TIMEOUT", "message": "RPC endpoint timed out"}

REQUESTS: dict[str, dict[str, Any]] = {
    "reportProgress": {
        "running": _RUNNING,
        "completed": _REPORT | {"status": "COMPLETED", "nextTask": "Fuzzing of Pool.sol"},
        "failed": _REPORT | {"status": "FAILED", "error": _FAILURE},
    },
    "reportBatch": {"two reports": {"updates": [{"agentId": AGENT, **_RUNNING}, {"agentId": "scanner-8", **_RUNNING}]}},
    "fileVulnerability": {
        "with a bounty": {"title": "Reentrancy in withdraw()", "severity": "HIGH", "bounty": "2500.00"},
        "without": {"title": "Missing event", "severity": "INFO", "agentId": AGENT},
    },
    "confirmVulnerability": {"bounty reserved at filing": {}, "with a bounty": {"bounty": "2500.00"}},
    "requestPayment": {
        "the whole bounty": {"recipient": "0x52908400098527886E0F7030069857D2"},
        "less": {"recipient": "0x52908400098527886E0F7030069857D2", "amount": "1000.00"},
    },
}
"""operationId → name → request body, where one made of examples of all members would not be a sensible request."""

ANSWERS: dict[str, dict[str, Any]] = {
    "confirmVulnerability": {"status": "CONFIRMED"},
    "rejectVulnerability": {"status": "REJECTED", "rejectionReason": "Duplicate of an earlier report."},
    "requestPayment": {"status": "PENDING"},
    "fileVulnerability": {"version": "1"},
    "createDeposit": {
        "pool": {
            "protocolId": PROTOCOL, "currency": "USDC", "total": "25000.00", "available": "25000.00",
            "reserved": "0.00", "paid": "0.00", "version": "1",
        }
    },
    "getAgent": {
        "currentTask": {
            "protocolId": PROTOCOL, "task": "Symbolic execution of Vault.sol", "progress": "65", "status": "RUNNING",
            "estimatedCompletion": LATER, "error": None, "version": "1795375800123456",
        }
    },
    "reportBatch": {"accepted": "2", "rejected": []},
}  # fmt: skip
"""operationId → members that differ from the usual example in its answer."""

_EVENT = {"timestamp": "2026-11-22T20:30:00.123Z", "protocolId": PROTOCOL}
_TASK = {"agentId": AGENT, "task": "Symbolic execution of Vault.sol", "estimatedCompletion": None, "error": None}
_POOL = {"currency": "USDC", "total": "25000.00", "paid": "0.00"}
_BUG = {"vulnerabilityId": VULNERABILITY, "severity": "HIGH", "changedAt": "2026-11-22T20:30:00.120Z"}


def _event(event_type: str, seq: str, data: Json) -> Json:
    return {"eventType": event_type, **_EVENT, "seq": seq, "data": data}


EVENTS: dict[str, dict[str, Json]] = {
    "agent:task_update": {
        "progress": _event("agent:task_update", "42", _TASK | {
            "progress": "65", "status": "RUNNING", "estimatedCompletion": LATER, "nextTask": None,
            "version": "1795375800123456"}),
        "completion": _event("agent:task_update", "43", _TASK | {
            "progress": "100", "status": "COMPLETED", "nextTask": "Fuzzing of Pool.sol",
            "version": "1795375801123456"}),
        "failure": _event("agent:task_update", "44", _TASK | {
            "progress": "0", "status": "FAILED", "error": _FAILURE, "nextTask": None,
            "version": "1795375802123456"}),
        "left": _event("agent:task_update", "45", _TASK | {
            "progress": "65", "status": "IDLE", "estimatedCompletion": None, "nextTask": None,
            "version": "1795375803123456"}),
    },
    "agent:task_updates": {
        "two agents": _event("agent:task_updates", "43", {"updates": [
            _TASK | {"progress": "65", "status": "RUNNING", "nextTask": None, "version": "1795375800123456"},
            _TASK | {"agentId": "scanner-8", "progress": "12.5", "status": "RUNNING", "nextTask": None,
                     "version": "1795375800223456"}]}),
    },
    "bounty_pool:updated": {
        "deposit": _event("bounty_pool:updated", "45", _POOL | {
            "changeType": "DEPOSIT", "amount": "25000.00", "available": "25000.00", "reserved": "0.00",
            "reference": "treasury-2026-11", "version": "1"}),
        "reservation": _event("bounty_pool:updated", "46", _POOL | {
            "changeType": "RESERVATION", "amount": "2500.00", "available": "22500.00", "reserved": "2500.00",
            "vulnerabilityId": VULNERABILITY, "version": "2"}),
        "payment release": _event("bounty_pool:updated", "48", _POOL | {
            "changeType": "PAYMENT_RELEASED", "amount": "2500.00", "available": "22500.00", "reserved": "0.00",
            "paid": "2500.00", "vulnerabilityId": VULNERABILITY, "paymentId": PAYMENT, "version": "3"}),
    },
    "vuln:status_changed": {
        "confirmed": _event("vuln:status_changed", "47", _BUG | {
            "oldStatus": "PENDING", "newStatus": "CONFIRMED", "version": "2"}),
        "paid": _event("vuln:status_changed", "49", _BUG | {
            "oldStatus": "CONFIRMED", "newStatus": "PAID", "paymentAmount": "2500.00", "paymentId": PAYMENT,
            "version": "4"}),
        "rejected": _event("vuln:status_changed", "50", _BUG | {
            "oldStatus": "PENDING", "newStatus": "REJECTED", "rejectionReason": "Duplicate of an earlier report.",
            "version": "2"}),
    },
}  # fmt: skip


_BY_FORMAT = {"date-time": MOMENT, "decimal": "1.00"}
_PLAIN: dict[str, Any] = {"object": {}, "number": 1, "integer": 1, "boolean": True, "null": None}


def example_of(shape: Json, schemas: dict[str, Json]) -> Any:
    """An example of what `shape` describes; `schemas` are those that it may refer to."""
    match shape:
        case {"$ref": reference}:
            example = example_of(schemas[reference.rpartition("/")[2]], schemas)
        case {"examples": [first, *_]} | {"enum": [first, *_]}:
            example = first
        case {"anyOf": [choice, *_]} | {"oneOf": [choice, *_]}:
            example = example_of(choice, schemas)
        case {"type": "array", "items": items}:
            example = [example_of(items, schemas)]
        case {"properties": properties}:
            example = {name: example_of(each, schemas) for name, each in properties.items()}
        case {"type": [*kinds]}:
            example = example_of({**shape, "type": kinds[0]}, schemas)
        case {"format": form} if form in _BY_FORMAT:
            example = _BY_FORMAT[form]
        case {"pattern": pattern} if pattern == NUMBER_SHOWN:
            example = "1"
        case _:
            example = _PLAIN.get(shape.get("type", ""), "text")
    return example
