"""What members of bodies mean, by their name on the wire alone; see `vocabulary`."""

from dataclasses import dataclass
from typing import Any

from app.vulnerabilities.rules import Severity, Status

PROTOCOL = "aave-v3"
AGENT = "scanner-7"
VULNERABILITY = "019a8f00-4b1c-7d30-9c55-2f6f1c0a9e01"
PAYMENT = "019a8f04-91aa-7f02-8d11-77c0a4b3d202"
ENTRY = "019a8f04-93c1-7a44-b6de-0b8e8f6c1d03"
MOMENT = "2026-11-22T20:30:00.123Z"
CLEANED = (
    "Line ends become LF, other control characters and escape sequences are removed, and what is longer than {} "
    "characters is cut and ends in `…`."
)
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
    "action": Word("What was done, as a code such as `DEPOSIT`.", "DEPOSIT"),
    "address": Word("From where; null where the system did it.", "203.0.113.7"),
    "after": Word("What the change left behind: the values that it set.", {"total": "25000.00"}),
    "agentBatches": Word(
        "As connections that joined with `agentBatches` see it: RUNNING updates come as one `agent:task_updates` a "
        "second, and `seq` counts those connections' events.",
        False,
    ),
    "agentId": Word("Id of the agent it is about, or who found it.", AGENT),
    "agents": Word("Agents at work or heard within 24 hours, at most 1,000, each with its current task.", None),
    "amount": Word("An amount of money, as a decimal string.", "2500.00"),
    "asOf": Word("When the snapshot was taken.", MOMENT),
    "at": Word("When it was done.", MOMENT),
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
    "code": Word("Why, as a code that never changes: decide by it, not by the words.", "INVALID_PROTOCOL"),
    "count": Word("How many there are.", "1"),
    "createdAt": Word("When it was made.", MOMENT),
    "currentTask": Word("The task it is on, or failed at; null when idle or not for the reader's eyes.", None),
    "currency": Word("What all amounts of the protocol are in; set once, when it is created.", "USDC"),
    "cursor": Word("`nextCursor` of the page before; pass it back unread.", "WyJhYXZlLXYzIl0"),
    "description": Word(
        f"The finding in full, for who has to judge it. {CLEANED.format('20,000')}",
        "An external call precedes the update of the balance.",
    ),
    "detail": Word("The refusal in words.", "There is no such protocol."),
    "error": Word("Why the task failed; null otherwise.", None),
    "errors": Word("What is wrong: field → messages.", {"progress": ["Must be from 0 to 100."]}),
    "estimatedCompletion": Word("When the agent expects to be done.", LATER),
    "eventType": Word("The event's name.", None),
    "expiresAt": Word("When it expires.", LATER),
    "failureReason": Word("Why the payout service refused; null otherwise.", None),
    "id": Word("The vulnerability's id, made by the server.", VULNERABILITY),
    "index": Word("Place in the batch, from 0.", "3"),
    "items": Word("The items of this page, at most `limit`.", None),
    "jti": Word("Id of one token; or null, for all of the subject's.", "0f8c2d4e6a"),
    "lastError": Word("Why the last attempt did not pay, also while it is tried again; null where none failed.", None),
    "lastPayment": Word("The newest released payment.", None),
    "lastSeen": Word("When the agent was last heard; null if never.", MOMENT),
    "limit": Word("How many items at most.", 50),
    "message": Word(f"What happened, in words. {CLEANED.format('2,000')}", "RPC endpoint timed out"),
    "name": Word("A name for people; programs go by the id.", "Aave v3"),
    "newStatus": Word("The status after the change.", "CONFIRMED"),
    "nextCursor": Word("Where the next page begins; null on the last.", None),
    "nextTask": Word("The task that the agent turns to next.", None),
    "offline": Word("Not heard for 120 seconds.", "2"),
    "ok": Word("Whether it was done.", None),
    "oldStatus": Word("The status before the change.", "PENDING"),
    "online": Word("Heard within the last 120 seconds.", "5"),
    "open": Word("PENDING and CONFIRMED ones, the newest 1,000, fewer where their descriptions are very long.", None),
    "openTruncated": Word("Whether there are more: list them by `status`, PENDING and CONFIRMED, page by page.", False),
    "agentsTruncated": Word(
        "Whether more agents are at work or were heard within 24 hours than the 1,000 that `agents` shows: "
        "`GET /agents?protocolId=` lists all, page by page.",
        False,
    ),
    "paid": Word("Sum of released payments.", "0.00"),
    "parts": Word("Each dependency by name.", None),
    "paymentAmount": Word("What was paid; with PAID.", "2500.00"),
    "paymentId": Word("Id of the payment; `GET /payments/{id}` tells how it stands.", PAYMENT),
    "payments": Word("The latest 20 payments, newest first.", None),
    "presence": Word("ONLINE when heard within the last 120 seconds.", "ONLINE"),
    "progress": Word("Per cent of the task done.", "65"),
    "protocolId": Word("Id of the protocol it belongs to.", PROTOCOL),
    "reason": Word(f"Why it is rejected. {CLEANED.format('2,000')}", "Duplicate of an earlier report."),
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
    "severity": Word("How grave it is, from CRITICAL down to INFO.", "HIGH"),
    "sort": Word("By filing date, newest first, or by severity, gravest first.", "date"),
    "startedAt": Word("When the agent turned to it; null before.", MOMENT),
    "stateUrl": Word("Where to fetch the snapshot.", f"/api/v1/protocols/{PROTOCOL}/state"),
    "status": Word("Where it stands now.", "PENDING"),
    "subject": Word("Whose: the token's `sub`.", "owner-1"),
    "targetId": Word("The id of what it was done to.", ENTRY),
    "task": Word("Name of the task.", "Symbolic execution of Vault.sol"),
    "timestamp": Word("When it happened.", MOMENT),
    "title": Word("What was found.", "Reentrancy in withdraw()"),
    "token": Word("A signed token (JWT).", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aWV3ZXItMSJ9.c2ln"),
    "tokenId": Word("The token's `jti`; null where the system did it.", "0f8c2d4e6a"),
    "total": Word("Sum of all deposits; `available + reserved + paid`.", "25000.00"),
    "type": Word("What kind of agent it is.", "RESEARCHER"),
    "updatedAt": Word("When it was last changed.", MOMENT),
    "version": Word("Rises with every change; a lower or equal one is old news.", "2"),
    "updates": Word("One entry per agent; each is judged and told of by itself.", None),
    "vulnerabilityId": Word("Id of the vulnerability it is about.", VULNERABILITY),
}
