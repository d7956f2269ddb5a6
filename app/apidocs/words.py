"""What members of bodies mean, by their name on the wire alone; see `vocabulary`."""

from dataclasses import dataclass
from typing import Any

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
    "action": Word("What was done.", "DEPOSIT"),
    "address": Word("From where; null where the system did it.", "203.0.113.7"),
    "after": Word("How it was afterwards.", {"total": "25000.00"}),
    "agentBatches": Word(
        "As connections that joined with `agentBatches` see it: RUNNING updates come as one `agent:task_updates` a "
        "second, and `seq` counts those connections' events.",
        False,
    ),
    "agentId": Word("The agent.", AGENT),
    "agents": Word("The agents.", None),
    "amount": Word("An amount of money, as a decimal string.", "2500.00"),
    "asOf": Word("When the snapshot was taken.", MOMENT),
    "at": Word("When.", MOMENT),
    "attempts": Word("How often the payout service was asked.", "1"),
    "available": Word("`total - reserved - paid`; never negative.", "22500.00"),
    "before": Word("How it was before; null where it is new.", None),
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
    "jti": Word("Id of one token; or null, for all of the subject's.", "0f8c2d4e6a"),
    "lastError": Word("Why the last attempt did not pay, also while it is tried again; null where none failed.", None),
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
    "open": Word("PENDING and CONFIRMED ones, the newest 1,000, fewer where their descriptions are very long.", None),
    "openTruncated": Word("Whether there are more: list them by `status`, PENDING and CONFIRMED, page by page.", False),
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
        "Where the money goes, as the payout service understands it: printable characters alone, no blank at either "
        "end.",
        "0x52908400098527886E0F7030069857D2",
    ),
    "reference": Word("A reference of the sender's, or of the payout service.", "treasury-2026-11"),
    "rejectionReason": Word("Why it was rejected; with REJECTED.", "Duplicate of an earlier report."),
    "rejected": Word("What is wrong with the others.", None),
    "releasedAt": Word("When it was paid; null until then.", None),
    "requestId": Word("The same as in `X-Request-Id`; name it in a question to us.", "0d3f0c7e9a4b4d0f"),
    "reserved": Word("Held for pending validations and payments.", "2500.00"),
    "revokedAt": Word("When it was revoked.", MOMENT),
    "revokedBy": Word("Who revoked it.", "admin-1"),
    "role": Word("In which role.", "owner"),
    "room": Word("The Socket.IO room.", f"protocol:{PROTOCOL}"),
    "seq": Word("Number of the room's last event; without gaps at the source.", "42"),
    "severity": Word("How grave it is.", "HIGH"),
    "sort": Word("The order.", "date"),
    "startedAt": Word("When the agent turned to it; null before.", MOMENT),
    "stateUrl": Word("Where to fetch the snapshot.", f"/api/v1/protocols/{PROTOCOL}/state"),
    "status": Word("Its status.", "PENDING"),
    "subject": Word("Whose: the token's `sub`.", "owner-1"),
    "targetId": Word("The id of what it was done to.", ENTRY),
    "task": Word("Name of the task.", "Symbolic execution of Vault.sol"),
    "timestamp": Word("When it happened.", MOMENT),
    "title": Word("What was found.", "Reentrancy in withdraw()"),
    "token": Word("A signed token (JWT).", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aWV3ZXItMSJ9.c2ln"),
    "tokenId": Word("The token's `jti`; null where the system did it.", "0f8c2d4e6a"),
    "total": Word("The total.", "25000.00"),
    "type": Word("What kind of agent it is.", "RESEARCHER"),
    "updatedAt": Word("When it was last changed.", MOMENT),
    "version": Word("Rises with every change; a lower or equal one is old news.", "2"),
    "updates": Word("The updates.", None),
    "vulnerabilityId": Word("The vulnerability.", VULNERABILITY),
}
