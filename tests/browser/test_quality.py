"""Accessibility, size, hosts and errors of the page."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Response

from tests.browser.chromium import axe_source
from tests.browser.conftest import NARROW, Open, Visit
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.node import ROOT
from tests.support.stack import Stack

MAX_BYTES = 200_000
MAX_BYTES_OF_ALL = 250_000  # with what is loaded when it is needed: views, panels, the stream in place of Socket.IO
PICTURES = ROOT / "docs" / "img"
# Whether nothing is on its way to its place any more, half transparent; a dot that breathes goes on.
ARRIVED = "() => document.getAnimations().every((each) => each.effect.getTiming().iterations === Infinity)"
NAMES = ["Argus", "Basilisk", "Cerberus", "Dryad", "Echidna", "Fenrir", "Griffin", "Hydra"]
TASKS = ["Map contracts", "Fuzz token transfers", "Prove invariants", "Trace reentrancy"]


@pytest.fixture(scope="module")
def populated(stack: Stack) -> str:
    """A protocol with at least one object of each kind."""
    api = stack.api
    protocol_id = make_protocol(api, name="Meridian Lending")
    for amount in ("60000.00", "25000.00", "40000.00"):
        deposit(api, protocol_id, amount, reference="treasury")
        add_vulnerabilities(stack, protocol_id)
    for number, name in enumerate(NAMES):
        make_agent(api, id=name.lower(), name=name, type=["PROTOCOL", "RESEARCHER", "VALIDATOR"][number % 3])
    agents_report(stack, protocol_id)
    return protocol_id


def agents_report(stack: Stack, protocol_id: str) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    updates = [
        {"agentId": name.lower(), "estimatedCompletion": soon} | report(protocol_id, TASKS[at % 4], 9 + at * 12)
        for at, name in enumerate(NAMES)
    ]
    updates[3] |= {"status": "FAILED", "error": {"message": "the trace ran out of gas"}}
    updates[6] |= {"status": "COMPLETED"}
    assert stack.api.admin.post("/progress", {"updates": updates}).expect(202)["rejected"] == []


def add_vulnerabilities(stack: Stack, protocol_id: str) -> None:
    api = stack.api
    found = [
        file_vulnerability(api, protocol_id, title=title, severity=severity, bounty=bounty)["id"]
        for title, severity, bounty in (
            ("Reentrancy in withdraw()", "CRITICAL", "12000.00"),
            ("Oracle price can be stale", "HIGH", "4500.00"),
            ("Rounding favours the borrower", "MEDIUM", "900.00"),
            ("Missing event on pause", "INFO", None),
            ("Unchecked return value", "LOW", "150.00"),
        )
    ]
    for each in found[:3]:
        api.validator.post(f"/vulnerabilities/{each}/confirm", {}).expect(200)
    api.validator.post(f"/vulnerabilities/{found[3]}/reject", {"reason": "Works as designed"}).expect(200)
    for each in found[:2]:
        body = {"recipient": "0x5afe3c1b9d2e4f60718293a4b5c6d7e8f9012345"}
        api.owner.post(f"/vulnerabilities/{each}/payment", body).expect(202)


def axe_violations(visit: Visit, without: Sequence[str] = ()) -> list[Any]:
    """What axe finds on the page, without some of its rules."""
    visit.page.wait_for_function(ARRIVED)
    # Evaluated by the debugger, not as a script of the page: its Content-Security-Policy stays in force.
    if not visit.page.evaluate("Boolean(window.axe)"):
        visit.page.evaluate(axe_source())
    options = {"resultTypes": ["violations"], "rules": {rule: {"enabled": False} for rule in without}}
    found = visit.page.evaluate("(options) => axe.run(document, options)", options)
    return [
        (each["id"], each["impact"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical", "moderate")
    ]


def look_narrow_and_dark(visit: Visit) -> None:
    visit.page.set_viewport_size(NARROW)
    visit.page.emulate_media(color_scheme="dark")


def test_axe_finds_no_violation(stack: Stack, populated: str, visit: Open) -> None:
    page = visit(stack, "admin", populated, reduced_motion="reduce")
    page.see("#findings", "Reentrancy")
    assert axe_violations(page) == []
    page.page.click(".cell-actions >> text=Reject >> nth=0")
    page.page.click("dialog [type=submit]")
    assert axe_violations(page) == []
    look_narrow_and_dark(page)
    assert axe_violations(page) == []
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("dialog", state="detached")
    page.see("#findings", "Reentrancy")
    assert axe_violations(page) == []


def test_axe_finds_no_violation_on_the_sign_in_form(stack: Stack, visit: Open) -> None:
    page = visit(stack)
    page.page.wait_for_selector("#token")
    assert axe_violations(page) == []


def test_the_page_transfers_under_200_kb_from_its_own_host_without_errors(
    stack: Stack, populated: str, visit: Open
) -> None:
    page = visit(stack, "owner", populated)
    page.page.wait_for_selector(".chart canvas")  # what comes last of the first load
    answers: list[Response] = []
    page.listen("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - a bare append is no handler
    session = page.page.context.new_cdp_session(page.page)
    session.send("Network.clearBrowserCache")
    session.detach()
    page.page.reload()
    page.wait_until_live()
    page.page.wait_for_selector(".chart canvas")
    page.page.wait_for_load_state("networkidle")
    urls = {answer.url for answer in answers}
    assert all(url.startswith((stack.url, stack.url.replace("http", "ws"))) for url in urls)
    assert MAX_BYTES / 4 < sum(answer.request.sizes()["responseBodySize"] for answer in answers) < MAX_BYTES
    assert size_of_all_modules(stack) < MAX_BYTES_OF_ALL
    assert page.problems == []


def size_of_all_modules(stack: Stack) -> int:
    """The transferred bytes of everything that the page can load."""
    static = ROOT / "app" / "dashboard" / "static"
    files = [path for path in static.rglob("*") if path.suffix in (".js", ".css", ".svg")]
    total = 0
    for path in files:
        name = path.relative_to(static).as_posix()
        answer = stack.api.with_token(None).get(f"///static/{name}"[1:], Accept_Encoding="gzip")
        total += int(answer.headers["content-length"])
    return total


def test_a_module_that_failed_to_load_is_loaded_again(stack: Stack, populated: str, visit: Open) -> None:
    page = visit(stack, "viewer", populated)
    page.page.route("**/ledger.js", lambda route: route.abort())
    page.page.reload()
    page.see("#app", "could not be loaded")
    page.page.unroute_all()
    page.wait_until_live()


def test_reduced_motion_disables_animations(stack: Stack, populated: str, visit: Open) -> None:
    page = visit(stack, "viewer", populated, reduced_motion="reduce")
    moving = "document.getAnimations().filter((each) => each.playState === 'running').length"
    deposit(stack.api, populated, "5.00")
    page.see("#feed", "5.00 USDC")
    assert page.page.evaluate(moving) == 0


def test_nothing_overflows_at_any_width(stack: Stack, populated: str, visit: Open) -> None:
    page = visit(stack, "admin", populated)
    page.see("#findings", "Reentrancy")
    for width in (360, 768, 1100, 1440, 2560):
        page.page.set_viewport_size({"width": width, "height": 900})
        page.page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)


def test_the_pictures_of_the_readme_are_there_and_small() -> None:
    named = set(re.findall(r"docs/img/(\w+\.webp)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"light.webp", "dark.webp", "narrow.webp", "panel.webp", "ops.webp"} <= named
    sizes = {name: (PICTURES / name).stat().st_size for name in named}
    assert sum(sizes.values()) < 1_000_000
