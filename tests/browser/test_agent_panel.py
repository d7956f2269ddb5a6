"""An agent's panel: its present task live, its queue, its past tasks, its errors in full, and its findings."""

import pytest

from tests.browser.conftest import Open
from tests.browser.test_quality import axe_violations
from tests.factories import file_vulnerability, make_agent, make_protocol, report
from tests.support.stack import Stack

ERROR = "forge test failed\n  [FAIL. Reason: OutOfGas] testMigrate()\n  <b>at Vault.sol:214</b>"


def test_an_agents_panel_shows_its_work_as_it_goes_on(stack: Stack, protocol_id: str, visit: Open) -> None:
    api = stack.api
    agent_id = make_agent(api, name="Kraken")
    agent, path = api.agent(agent_id), f"/agents/{agent_id}"
    for name in ("Fuzz the oracle", "Write the report"):
        agent.post(f"{path}/tasks", {"protocolId": protocol_id, "name": name}).expect(201)
    failure = {"status": "FAILED", "error": {"code": "OUT_OF_GAS", "message": ERROR}}
    agent.post(f"{path}/progress", report(protocol_id, "Prove it safe", **failure)).expect(202)
    file_vulnerability(api, protocol_id, title="Drains the vault", agentId=agent_id)

    viewer = visit(stack, "viewer", protocol_id, viewport={"width": 390, "height": 700})
    viewer.page.click(f"[data-agent='{agent_id}'] .agent-name")
    panel = viewer.page.locator(".side-panel")
    viewer.see(".side-panel h2", "Kraken")
    viewer.see(".side-panel [data-status=FAILED] .task-error", "OutOfGas")
    assert ERROR in panel.locator("section[data-status=FAILED] .task-error").inner_text()
    viewer.see(".tasks [data-status=QUEUED]", "Write the report")
    viewer.see(".tasks [data-status=FAILED]", "Prove it safe")
    assert ERROR in panel.locator(".tasks [data-status=FAILED] .task-error").inner_text()
    viewer.see(".side-panel", "Drains the vault")
    assert axe_violations(viewer) == []

    agent.post(f"{path}/progress", report(protocol_id, "Fuzz the oracle", 35)).expect(202)
    viewer.see(".side-panel section[data-status=RUNNING]", "35 %")
    agent.post(f"{path}/progress", report(protocol_id, "Fuzz the oracle", status="COMPLETED")).expect(202)
    viewer.see(".tasks [data-status=COMPLETED]", "Fuzz the oracle")
    viewer.page.reload()
    viewer.see(".side-panel h2", "Kraken")
    viewer.page.keyboard.press("Escape")
    panel.wait_for(state="detached")
    assert viewer.problems == []


@pytest.mark.parametrize("role", ["viewer", "validator", "owner", "admin"])
def test_an_empty_protocol_says_what_the_role_can_do_next(stack: Stack, visit: Open, role: str) -> None:
    protocol_id = make_protocol(stack.api)
    page = visit(stack, role, protocol_id)
    for panel in ("#agents", "#findings", "#feed"):
        page.see(f"{panel} .empty", "appear" if role != "owner" or panel != "#feed" else "deposit")
    commands = page.page.locator(".next-command code").all_inner_texts()
    assert commands
    assert all(protocol_id in command for command in commands)
    assert page.page.locator(".empty button:has-text('Deposit')").count() == (2 if role == "owner" else 0)
    assert axe_violations(page) == []
