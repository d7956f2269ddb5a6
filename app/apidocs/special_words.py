"""Where a member means something else in one schema than elsewhere, or can only be what is listed here."""

from app.agents.models import AgentType, TaskStatus
from app.apidocs.words import AGENT, ENTRY, PAYMENT, PROTOCOL, Word

_TASK = tuple(map(str, TaskStatus))
_AGENT_TYPES = tuple(map(str, AgentType))
_ERROR = "Why the task FAILED, and required then: the message alone, or with a code of the agent's own."
_EVENT_STATUS = "Status of the task; IDLE when the agent turned to another protocol without closing it."
SPECIAL: dict[tuple[str, str], Word] = {
    ("Protocol", "id"): Word("The protocol's id.", PROTOCOL),
    ("ProtocolCreate", "id"): Word("An id of your own; without it the server makes one.", PROTOCOL),
    ("Agent", "id"): Word("The agent's id.", AGENT),
    ("Agent", "name"): Word("A name for people; programs go by the id.", "Scanner 7"),
    ("Agent", "status"): Word("OFFLINE when not heard for 120 seconds.", "ONLINE", ("ONLINE", "OFFLINE")),
    ("Agent", "type"): Word("What kind of agent it is.", "RESEARCHER", _AGENT_TYPES),
    ("AgentCreate", "id"): Word("An id of your own; without it the server makes one.", AGENT),
    ("AgentCreate", "name"): Word("A name for people; programs go by the id.", "Scanner 7"),
    ("AgentState", "name"): Word("The agent's name.", "Scanner 7"),
    ("AgentState", "status"): Word(_EVENT_STATUS, "RUNNING"),
    ("AgentTaskData", "status"): Word(_EVENT_STATUS, "RUNNING"),
    ("BatchUpdate", "progress"): Word("Per cent of the task done; required while RUNNING.", 65),
    ("BatchUpdate", "status"): Word("Status of the task.", "RUNNING"),
    ("Batch", "updates"): Word("The reports; each is judged by itself.", None),
    ("CurrencySum", "total"): Word("Sum of all deposits in this currency.", "25000.00"),
    ("CurrencySum", "paid"): Word("Sum of released payments.", "0.00"),
    ("CurrentTask", "status"): Word("Status of the task.", "RUNNING", ("RUNNING", "FAILED")),
    ("LedgerEntry", "changeType"): Word("What happened to the pool.", "DEPOSIT"),
    ("LedgerEntry", "amount"): Word("The size of this change.", "25000.00"),
    ("LedgerEntry", "available"): Word("`total - reserved - paid`, after this change.", "25000.00"),
    ("LedgerEntry", "reserved"): Word("Held after this change.", "0.00"),
    ("LedgerEntry", "total"): Word("Sum of all deposits, after this change.", "25000.00"),
    ("LedgerEntry", "version"): Word("The pool's version with this change.", "1"),
    ("LedgerEntry", "id"): Word("The entry's id.", ENTRY),
    ("LedgerEntry", "vulnerabilityId"): Word("The vulnerability, where it is about one.", None),
    ("LedgerEntry", "paymentId"): Word("The payment, where it is about one.", None),
    ("DepositCreate", "amount"): Word("How much; more than zero.", "25000.00"),
    ("Payment", "id"): Word("The payment's id.", PAYMENT),
    ("Payment", "status"): Word("FAILED can be tried again; RELEASED is for good.", "PENDING"),
    ("Payment", "attempts"): Word("How often the payout service was asked.", "0"),
    ("Payment", "reference"): Word("The payout service's own reference; null until it has answered.", None),
    ("PaymentSum", "total"): Word("Sum of released payments, in the currency of `bountyPool`.", "0.00"),
    ("PaymentSum", "count"): Word("How many were released.", "0"),
    ("AuditEntry", "id"): Word("The entry's number.", "3"),
    ("AuditEntry", "protocolId"): Word("The protocol, where it is about one.", PROTOCOL),
    ("ProgressReport", "error"): Word(_ERROR, None),
    ("BatchUpdate", "error"): Word(_ERROR, None),
    ("ProgressReport", "progress"): Word("Per cent of the task done; required while RUNNING.", 65),
    ("ProgressReport", "status"): Word("Status of the task.", "RUNNING"),
    ("Refusal", "code"): Word("Why, as a code that never changes: decide by it, not by the words.", "INVALID_PROTOCOL"),
    ("Revocation", "jti"): Word("Id of one token.", "0f8c2d4e6a"),
    ("Revocation", "reason"): Word("Why it is revoked.", "The laptop was lost."),
    ("Revocation", "subject"): Word("All tokens of this `sub`.", None),
    ("RevokedToken", "id"): Word("The revocation's number.", "3"),
    ("RevokedToken", "reason"): Word("Why it was revoked.", "The laptop was lost."),
    ("RevokedToken", "subject"): Word("Whose tokens; null where it is one token.", None),
    ("RenewedAck", "protocolId"): Word("The room it is still in; null for none.", PROTOCOL),
    ("SessionExpired", "code"): Word(
        "Why, as a code that never changes: decide by it, not by the words.", "TOKEN_EXPIRED"
    ),
    ("SessionRevoked", "code"): Word(
        "Why, as a code that never changes: decide by it, not by the words.", "TOKEN_REVOKED"
    ),
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
