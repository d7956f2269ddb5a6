"""What the code of an operation does not tell: a paragraph for readers, and the conflicts it can end in."""

from dataclasses import dataclass

_PAGED = "Ask for the next page with `cursor` = `nextCursor` of this one."
_ONCE = "Send an `Idempotency-Key`, and a request that is sent twice has its effect once."


@dataclass(frozen=True)
class Note:
    """`conflicts` are codes of 409, `missing` those of 404; `conditional`: answers 304 to a fresh `If-None-Match`."""

    about: str
    conflicts: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    conditional: bool = False


NOTES: dict[str, Note] = {
    "createProtocol": Note("The protocol gets an empty bounty pool and a room.", ("ALREADY_EXISTS",)),
    "listProtocols": Note(f"By id; those that the token names. {_PAGED}"),
    "getProtocol": Note("A protocol that the token does not name is told of as one that does not exist."),
    "getState": Note(
        "Join the room first, then fetch this, then apply the events that are newer: a `seq` above this one's, and "
        "of each thing a `version` above the one held. So nothing is missed and nothing applied twice.",
        conditional=True,
    ),
    "getPool": Note("`available` is `total - reserved - paid`, and never negative."),
    "listEntries": Note(f"Each entry has the pool's totals after it; entries are never changed. {_PAGED}"),
    "createDeposit": Note(f"The room hears `bounty_pool:updated` with DEPOSIT. {_ONCE}", ("AMOUNT_TOO_LARGE",)),
    "createAgent": Note("An agent reports with a token whose `sub` is its id.", ("ALREADY_EXISTS",)),
    "listAgents": Note(
        "By id. A current task is shown only to readers whose token names its protocol. With `protocolId`: agents "
        f"whose last task was that protocol's. {_PAGED}",
        missing=("PROTOCOL_NOT_FOUND",),
    ),
    "getAgent": Note("OFFLINE means that nothing was heard for 120 seconds."),
    "queueTask": Note("The agent turns to the head of its queue when it completes a task.", ("QUEUE_FULL",)),
    "listTasks": Note(f"In the order of the queue; those of protocols that the token names. {_PAGED}"),
    "reportProgress": Note(
        "Answered before the room hears of it: one agent causes at most one event a second, and of RUNNING reports "
        "the newest one wins. COMPLETED and FAILED are stored first and always become an event of their own.",
        missing=("AGENT_NOT_FOUND", "PROTOCOL_NOT_FOUND"),
    ),
    "reportBatch": Note(
        "Each update is judged by itself: what is wrong with one is told under its index, and the others are taken. A "
        "batch counts as one request for its `Idempotency-Key`; its token's budget is charged one request for each "
        "task that it starts or closes, at least one. Of an agent's RUNNING updates in a batch only the newest counts."
    ),
    "fileVulnerability": Note(
        f"With a `bounty` the amount is reserved, or nothing is stored at all. {_ONCE}", ("INSUFFICIENT_FUNDS",)
    ),
    "listVulnerabilities": Note(f"Filtered by status and severity, ordered by date or severity. {_PAGED}"),
    "getVulnerability": Note("One of a protocol that the token does not name is told of as one that does not exist."),
    "confirmVulnerability": Note(
        f"PENDING → CONFIRMED; the room hears `vuln:status_changed`. A `bounty` here reserves when none was reserved "
        f"at filing. {_ONCE}",
        ("INVALID_TRANSITION", "ALREADY_RESERVED", "INSUFFICIENT_FUNDS"),
    ),
    "rejectVulnerability": Note(
        f"PENDING → REJECTED; the room hears `vuln:status_changed`, and a reservation is given back. {_ONCE}",
        ("INVALID_TRANSITION",),
    ),
    "requestPayment": Note(
        "Accepted, then paid in the background: the room hears `bounty_pool:updated` with PAYMENT_RELEASED, then "
        "`vuln:status_changed` with PAID. Without `amount` the whole reserved bounty is paid; a smaller one gives "
        f"the rest back. The pool is charged exactly once. {_ONCE}",
        ("INVALID_TRANSITION", "ALREADY_EXISTS", "INSUFFICIENT_FUNDS"),
    ),
    "getPayment": Note("FAILED has a `failureReason`; its reservation stays until it is tried again."),
    "listPayments": Note(f"Newest first. {_PAGED}"),
    "revokeToken": Note("Name one token by its `jti`, or a `subject`: then all tokens issued to it until now."),
    "listRevoked": Note(f"One token by its `jti`, or all of a subject until then. {_PAGED}"),
    "listAudit": Note(f"Who did what to the money and to vulnerabilities; entries are never changed. {_PAGED}"),
    "retryPayment": Note(f"A FAILED payment goes back to PENDING. {_ONCE}", ("INVALID_TRANSITION",)),
    "getStats": Note(
        "Without `protocolId`: over all protocols that the token names; amounts of different currencies are never "
        "added up, `byCurrency` has one line for each.",
        missing=("PROTOCOL_NOT_FOUND",),
    ),
}
