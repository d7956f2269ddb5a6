"""The permission table equals the contract's and the printed one, and every cell is tested."""

from pathlib import Path

import pytest

from app.auth.permissions import ALLOWED, Action, Role, allows
from tests.support.permission_table import as_markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "permissions.md"
READERS = {"agent", "viewer", "validator", "owner", "admin"}
CONTRACT = {
    Action.READ: READERS,
    Action.SUBSCRIBE: READERS,
    Action.CREATE_PROTOCOL: {"admin"},
    Action.CREATE_AGENT: {"admin"},
    Action.QUEUE_TASK: {"agent", "admin"},
    Action.REPORT_PROGRESS: {"agent", "admin"},
    Action.FILE_VULNERABILITY: {"agent", "validator", "admin"},
    Action.DECIDE_VULNERABILITY: {"validator", "admin"},
    Action.DEPOSIT: {"owner", "admin"},
    Action.RELEASE_PAYMENT: {"owner", "admin"},
    Action.MANAGE_WEBHOOKS: {"owner", "admin"},
    Action.ISSUE_TOKEN: {"admin"},
    Action.REVOKE_TOKEN: {"admin"},
    Action.READ_AUDIT: {"admin"},
    Action.OPERATE: {"admin"},
}


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", list(Role))
def test_each_cell_of_the_permission_table_is_that_of_the_contract(role: Role, action: Action) -> None:
    assert allows(role, action) == (role.value in CONTRACT[action])


def test_every_action_is_in_the_permission_table_of_the_contract() -> None:
    assert set(ALLOWED) == set(Action)


def test_the_printed_table_is_up_to_date() -> None:
    assert as_markdown() in DOCUMENT.read_text(encoding="utf-8"), "run `python -m tests.support.permission_table`"
