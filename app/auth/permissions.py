"""The table of permissions by role, for REST, sockets and the documents."""

from enum import StrEnum
from typing import Self


class Role(StrEnum):
    AGENT = "agent"
    VIEWER = "viewer"
    VALIDATOR = "validator"
    OWNER = "owner"
    ADMIN = "admin"


ANYONE = frozenset(Role)


class Action(StrEnum):
    """What a role may be permitted to do, and the roles that are, besides the admin."""

    roles: frozenset[Role]

    def __new__(cls, text: str, *roles: Role) -> Self:
        action = str.__new__(cls, text)
        action._value_, action.roles = text, frozenset({Role.ADMIN, *roles})
        return action

    READ = "read", *ANYONE
    SUBSCRIBE = "subscribe", *ANYONE
    CREATE_PROTOCOL = "create protocol"
    CREATE_AGENT = "create agent"
    QUEUE_TASK = "queue agent task", Role.AGENT
    REPORT_PROGRESS = "report progress", Role.AGENT
    FILE_VULNERABILITY = "file vulnerability", Role.AGENT, Role.VALIDATOR
    DECIDE_VULNERABILITY = "confirm or reject vulnerability", Role.VALIDATOR
    DEPOSIT = "deposit", Role.OWNER
    RELEASE_PAYMENT = "release payment", Role.OWNER
    MANAGE_WEBHOOKS = "manage webhooks", Role.OWNER
    ISSUE_TOKEN = "issue token"  # noqa: S105 - a right, not a secret
    REVOKE_TOKEN = "revoke token"  # noqa: S105 - a right, not a secret
    READ_AUDIT = "read audit log"
    OPERATE = "operate"


ALLOWED = {action: action.roles for action in Action}

# An agent may do these only for itself: the token's `sub` must be the agent's id.
ONLY_FOR_ITSELF = frozenset({Action.QUEUE_TASK, Action.REPORT_PROGRESS, Action.FILE_VULNERABILITY})


def allows(role: Role, action: Action) -> bool:
    return role in ALLOWED[action]


def includes(role: Role, other: Role) -> bool:
    """Whether `role` may do all that `other` may."""
    return all(allows(role, action) for action in Action if allows(other, action))
