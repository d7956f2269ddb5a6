"""The table of permissions by role, for REST, sockets and the documents."""

from enum import StrEnum


class Role(StrEnum):
    AGENT = "agent"
    VIEWER = "viewer"
    VALIDATOR = "validator"
    OWNER = "owner"
    ADMIN = "admin"


class Action(StrEnum):
    READ = "read"
    SUBSCRIBE = "subscribe"
    CREATE_PROTOCOL = "create protocol"
    CREATE_AGENT = "create agent"
    QUEUE_TASK = "queue agent task"
    REPORT_PROGRESS = "report progress"
    FILE_VULNERABILITY = "file vulnerability"
    DECIDE_VULNERABILITY = "confirm or reject vulnerability"
    DEPOSIT = "deposit"
    RELEASE_PAYMENT = "release payment"
    REVOKE_TOKEN = "revoke token"  # noqa: S105 - a right, not a secret
    READ_AUDIT = "read audit log"
    OPERATE = "operate"


ANYONE = frozenset(Role)
_ADMIN = frozenset({Role.ADMIN})

ALLOWED: dict[Action, frozenset[Role]] = {
    Action.READ: ANYONE,
    Action.SUBSCRIBE: ANYONE,
    Action.CREATE_PROTOCOL: _ADMIN,
    Action.CREATE_AGENT: _ADMIN,
    Action.QUEUE_TASK: _ADMIN | {Role.AGENT},
    Action.REPORT_PROGRESS: _ADMIN | {Role.AGENT},
    Action.FILE_VULNERABILITY: _ADMIN | {Role.AGENT, Role.VALIDATOR},
    Action.DECIDE_VULNERABILITY: _ADMIN | {Role.VALIDATOR},
    Action.DEPOSIT: _ADMIN | {Role.OWNER},
    Action.RELEASE_PAYMENT: _ADMIN | {Role.OWNER},
    Action.REVOKE_TOKEN: _ADMIN,
    Action.READ_AUDIT: _ADMIN,
    Action.OPERATE: _ADMIN,
}

# An agent may do these only for itself: the token's `sub` must be the agent's id.
ONLY_FOR_ITSELF: frozenset[Action] = frozenset({Action.QUEUE_TASK, Action.REPORT_PROGRESS, Action.FILE_VULNERABILITY})


def allows(role: Role, action: Action) -> bool:
    return role in ALLOWED[action]
