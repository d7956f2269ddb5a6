"""What each member of a body means, with an example of it: by its name on the wire, once for both documents."""

from dataclasses import dataclass
from typing import Any

from app.agents.models import AgentType, TaskStatus
from app.vulnerabilities.states import Severity, Status

PROTOCOL = "aave-v3"
AGENT = "scanner-7"
VULNERABILITY = "019a8f00-4b1c-7d30-9c55-2f6f1c0a9e01"
PAYMENT = "019a8f04-91aa-7f02-8d11-77c0a4b3d202"
ENTRY = "019a8f04-93c1-7a44-b6de-0b8e8f6c1d03"
MOMENT = "2026-11-22T20:30:00.123Z"
LATER = "2026-11-22T20:45:00.000Z"


@dataclass(frozen=True)
class Word:
    """`values` are all there can be, where the schema does not say so itself."""

    about: str
    example: Any
    values: tuple[str, ...] = ()


WORDS: dict[str, Word] = {
    "accepted": Word("How many reports were accepted.", "1"),
    "actor": Word("Who caused it: the token's `sub`, or `system`.", "owner-1"),
    "agentBatches": Word(
        "As connections that joined with `agentBatches` see it: RUNNING updates come as one `agent:task_updates` a "
        "second, and `seq` counts those connections' events.",
        False,
    ),
    "agentId": Word("The agent.", AGENT),
    "agents": Word("The agents.", None),
    "amount": Word("An amount of money, as a decimal string.", "2500.00"),
    "asOf": Word("When the snapshot was taken.", MOMENT),
    "attempts": Word("How often the payout service was asked.", "1"),
    "available": Word("`total - reserved - paid`; never negative.", "22500.00"),
    "bounty": Word("The bounty of this vulnerability.", "2500.00"),
    "busy": Word("Online, with a running task.", "3"),
    "byCurrency": Word("One line per currency; amounts of different currencies are never added up.", None),
    "bySeverity": Word("By severity; each is named.", dict.fromkeys(map(str, Severity), "0") | {"HIGH": "1"}),
    "byStatus": Word("By status; each is named.", dict.fromkeys(map(str, Status), "0") | {"CONFIRMED": "1"}),
    "changedAt": Word("When the status changed.", MOMENT),
    "changeType": Word("What happened to the pool.", "RESERVATION"),
    "closedAt": Word("When the task was closed; null while it is open.", None),
    "code": Word("A stable code.", "INVALID_PROTOCOL"),
    "count": Word("How many.", "1"),
    "createdAt": Word("When it was made.", MOMENT),
    "currentTask": Word("The task it is on, or failed at; null when idle or not for the reader's eyes.", None),
    "currency": Word("The pool's currency.", "USDC"),
    "cursor": Word("`nextCursor` of the page before; pass it back unread.", "WyJhYXZlLXYzIl0"),
    "description": Word("More about it.", "An external call precedes the update of the balance."),
    "detail": Word("The refusal in words.", "There is no such protocol."),
    "error": Word("Why the task failed; null otherwise.", None),
    "errors": Word("What is wrong: field → messages.", {"progress": ["Must be from 0 to 100."]}),
    "estimatedCompletion": Word("When the agent expects to be done.", LATER),
    "eventType": Word("The event's name.", None),
    "failureReason": Word("Why the payout service refused; null otherwise.", None),
    "id": Word("Its id.", VULNERABILITY),
    "index": Word("Place in the batch, from 0.", "3"),
    "items": Word("This page of the list.", None),
    "lastPayment": Word("The newest released payment.", None),
    "lastSeen": Word("When the agent was last heard; null if never.", MOMENT),
    "limit": Word("How many items at most.", 50),
    "message": Word("What happened, in words.", "RPC endpoint timed out"),
    "name": Word("A name for people.", "Aave v3"),
    "newStatus": Word("The status after the change.", "CONFIRMED"),
    "nextCursor": Word("Where the next page begins; null on the last.", None),
    "nextTask": Word("The task that the agent turns to next.", None),
    "offline": Word("Not heard for 120 seconds.", "2"),
    "ok": Word("Whether it was done.", None),
    "oldStatus": Word("The status before the change.", "PENDING"),
    "online": Word("Heard within the last 120 seconds.", "5"),
    "open": Word("PENDING and CONFIRMED ones.", None),
    "paid": Word("Sum of released payments.", "0.00"),
    "parts": Word("Each dependency by name.", None),
    "paymentAmount": Word("What was paid; with PAID.", "2500.00"),
    "paymentId": Word("The payment.", PAYMENT),
    "payments": Word("The latest 20 payments, newest first.", None),
    "presence": Word("ONLINE when heard within the last 120 seconds.", "ONLINE"),
    "progress": Word("Per cent of the task done.", "65"),
    "protocolId": Word("The protocol.", PROTOCOL),
    "reason": Word("Why it is rejected.", "Duplicate of an earlier report."),
    "recipient": Word(
        "Where the money goes, as the payout service understands it.", "0x52908400098527886E0F7030069857D2"
    ),
    "reference": Word("A reference of the sender's, or of the payout service.", "treasury-2026-11"),
    "rejectionReason": Word("Why it was rejected; with REJECTED.", "Duplicate of an earlier report."),
    "rejected": Word("What is wrong with the others.", None),
    "releasedAt": Word("When it was paid; null until then.", None),
    "requestId": Word("The same as in `X-Request-Id`; name it in a question to us.", "0d3f0c7e9a4b4d0f"),
    "reserved": Word("Held for pending validations and payments.", "2500.00"),
    "room": Word("The Socket.IO room.", f"protocol:{PROTOCOL}"),
    "seq": Word("Number of the room's last event; without gaps at the source.", "42"),
    "severity": Word("How grave it is.", "HIGH"),
    "sort": Word("The order.", "date"),
    "startedAt": Word("When the agent turned to it; null before.", MOMENT),
    "stateUrl": Word("Where to fetch the snapshot.", f"/api/v1/protocols/{PROTOCOL}/state"),
    "status": Word("Its status.", "PENDING"),
    "task": Word("Name of the task.", "Symbolic execution of Vault.sol"),
    "timestamp": Word("When it happened.", MOMENT),
    "title": Word("What was found.", "Reentrancy in withdraw()"),
    "token": Word("A signed token (JWT).", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aWV3ZXItMSJ9.c2ln"),
    "total": Word("The total.", "25000.00"),
    "type": Word("What kind of agent it is.", "RESEARCHER"),
    "updatedAt": Word("When it was last changed.", MOMENT),
    "version": Word("Rises with every change; a lower or equal one is old news.", "2"),
    "updates": Word("The updates.", None),
    "vulnerabilityId": Word("The vulnerability.", VULNERABILITY),
}

_TASK = tuple(map(str, TaskStatus))
_AGENT_TYPES = tuple(map(str, AgentType))
SPECIAL: dict[tuple[str, str], Word] = {
    ("Protocol", "id"): Word("The protocol's id.", PROTOCOL),
    ("ProtocolCreate", "id"): Word("An id of your own; without it the server makes one.", PROTOCOL),
    ("Agent", "id"): Word("The agent's id.", AGENT),
    ("Agent", "name"): Word("A name for people.", "Scanner 7"),
    ("Agent", "status"): Word("OFFLINE when not heard for 120 seconds.", "ONLINE", ("ONLINE", "OFFLINE")),
    ("Agent", "type"): Word("What kind of agent it is.", "RESEARCHER", _AGENT_TYPES),
    ("AgentCreate", "id"): Word("An id of your own; without it the server makes one.", AGENT),
    ("AgentCreate", "name"): Word("A name for people.", "Scanner 7"),
    ("AgentState", "name"): Word("The agent's name.", "Scanner 7"),
    ("AgentState", "status"): Word("Status of the task.", "RUNNING"),
    ("AgentTaskData", "status"): Word("Status of the task.", "RUNNING"),
    ("BatchUpdate", "progress"): Word("Per cent of the task done; required while RUNNING.", 65),
    ("BatchUpdate", "status"): Word("Status of the task.", "RUNNING"),
    ("CurrencySum", "paid"): Word("Sum of released payments.", "0.00"),
    ("CurrentTask", "status"): Word("Status of the task.", "RUNNING", ("RUNNING", "FAILED")),
    ("LedgerEntry", "changeType"): Word("What happened to the pool.", "DEPOSIT"),
    ("LedgerEntry", "amount"): Word("The size of this change.", "25000.00"),
    ("LedgerEntry", "available"): Word("`total - reserved - paid`, after this change.", "25000.00"),
    ("LedgerEntry", "reserved"): Word("Held after this change.", "0.00"),
    ("LedgerEntry", "version"): Word("The pool's version with this change.", "1"),
    ("LedgerEntry", "id"): Word("The entry's id.", ENTRY),
    ("LedgerEntry", "vulnerabilityId"): Word("The vulnerability, where it is about one.", None),
    ("LedgerEntry", "paymentId"): Word("The payment, where it is about one.", None),
    ("DepositCreate", "amount"): Word("How much; more than zero.", "25000.00"),
    ("Payment", "id"): Word("The payment's id.", PAYMENT),
    ("Payment", "attempts"): Word("How often the payout service was asked.", "0"),
    ("Payment", "reference"): Word("The payout service's own reference; null until it has answered.", None),
    ("PaymentSum", "total"): Word("Sum of released payments, in the currency of `bountyPool`.", "0.00"),
    ("PaymentSum", "count"): Word("How many were released.", "0"),
    ("ProgressReport", "progress"): Word("Per cent of the task done; required while RUNNING.", 65),
    ("ProgressReport", "status"): Word("Status of the task.", "RUNNING"),
    ("Refusal", "code"): Word("A stable code.", "INVALID_PROTOCOL"),
    ("SessionExpired", "code"): Word("A stable code.", "TOKEN_EXPIRED"),
    ("Task", "id"): Word("Number of the task; rises in the order of the queue.", "17"),
    ("Task", "name"): Word("The task's name.", "Fuzzing of Pool.sol"),
    ("Task", "startedAt"): Word("When the agent turned to it; null before.", None),
    ("Task", "status"): Word("Where it stands.", "QUEUED", _TASK),
    ("TaskCreate", "name"): Word("The task's name.", "Fuzzing of Pool.sol"),
    ("TaskError", "code"): Word("The agent's own code for it.", "RPC_TIMEOUT"),
    ("VulnerabilityCounts", "total"): Word("All of them.", "1"),
    ("Vulnerability", "paymentId"): Word("Its payment; null while none is asked for.", None),
    ("Vulnerability", "rejectionReason"): Word("Why it was rejected; null otherwise.", None),
    ("VulnStatusData", "paymentId"): Word("The payment; with PAID.", PAYMENT),
}


def word(schema: str, member: str) -> Word | None:
    """What `member` of `schema` means; None when nobody has written it down."""
    return SPECIAL.get((schema, member)) or WORDS.get(member)


def put_into_words(schemas: dict[str, dict[str, Any]]) -> None:
    """Add descriptions, examples and missing enumerations to the properties of these schemas."""
    for name, schema in schemas.items():
        for member, shape in schema.get("properties", {}).items():
            known = word(name, member)
            if known is None or "$ref" in shape:
                continue
            shape.setdefault("description", known.about)
            if known.values and "enum" not in shape:
                shape["enum"] = [*known.values]
            if _fits(known.example, shape):
                shape.setdefault("examples", [known.example])


def _fits(example: Any, shape: dict[str, Any]) -> bool:
    if example is None:
        return "null" in shape.get("type", ()) or any(each == {"type": "null"} for each in _choices(shape))
    if "enum" in shape:
        return example in shape["enum"]
    kinds: dict[str, Any] = {
        "string": str,
        "object": dict,
        "boolean": bool,
        "number": (int, float),
        "integer": int,
        "array": list,
    }
    types = shape.get("type", ())
    return any(
        isinstance(example, kinds[kind]) for kind in ([types] if isinstance(types, str) else types) if kind in kinds
    )


def _choices(shape: dict[str, Any]) -> list[Any]:
    return [*shape.get("anyOf", ()), *shape.get("oneOf", ())]
