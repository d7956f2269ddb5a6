"""What a user sees is in the page's address: it survives a reload, can be shared, and Back returns to it."""

from urllib.parse import parse_qs, urlsplit

from tests.browser.conftest import NARROW, Open, Visit
from tests.browser.test_quality import axe_violations
from tests.factories import file_vulnerability, make_protocol
from tests.support.stack import Stack


def parameters(visit: Visit) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(visit.page.url).query).items()}


def test_back_returns_to_the_previous_protocol_and_closes_a_panel(stack: Stack, visit: Open) -> None:
    first, second = make_protocol(stack.api, name="First"), make_protocol(stack.api, name="Second")
    found = file_vulnerability(stack.api, second, title="Of the second", description="Call it twice.")
    page = visit(stack, "viewer", first, protocols=[first, second])
    page.page.select_option(".protocol-switch select", second)
    page.page.click(".finding-title >> text=Of the second")
    page.see(".side-panel h2", "Of the second")
    page.page.wait_for_selector(".side-panel:focus")
    page.page.wait_for_function("() => document.getAnimations().length === 0")
    assert axe_violations(page) == []
    assert parameters(page)["finding"] == found["id"]
    page.page.go_back()
    page.page.wait_for_selector(".side-panel", state="detached")
    page.see(".protocol-switch select", "Second")
    page.page.go_back()
    page.page.wait_for_function("(id) => dashboard.room.protocolId === id && dashboard.state", arg=first)
    page.page.go_forward()
    page.see(".finding-title", "Of the second")
    assert page.problems == []


def test_filter_order_search_and_panel_survive_a_reload(stack: Stack, protocol_id: str, visit: Open) -> None:
    found = file_vulnerability(stack.api, protocol_id, title="Oracle <b>bent</b>", severity="LOW")
    file_vulnerability(stack.api, protocol_id, title="Oracle stale", severity="HIGH")
    page = visit(stack, "viewer", protocol_id, viewport=NARROW)
    page.page.select_option("[aria-label=Severity]", "LOW")
    page.page.get_by_label("Sort").select_option(label="Highest bounty first")
    page.page.fill("[type=search]", "oracle")
    page.page.click(f"[data-finding='{found['id']}'] .finding-title")
    page.page.wait_for_selector(".side-panel")
    page.page.reload()
    page.wait_until_live()
    page.see(".side-panel h2", "Oracle <b>bent</b>")
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector(".side-panel", state="detached")
    assert page.page.input_value("[type=search]") == "oracle"
    assert page.page.input_value("[aria-label=Severity]") == "LOW"
    assert page.page.get_by_label("Sort").input_value() == "bounty true"
    assert page.page.locator("#findings >> text=Oracle stale").count() == 0
    assert {"severity": "LOW", "q": "oracle", "sort": "-bounty"}.items() <= parameters(page).items()
    page.page.select_option("[aria-label=Severity]", "HIGH")
    page.page.reload()
    page.wait_until_live()
    assert page.page.input_value("[aria-label=Severity]") == "HIGH", "a reload right after the change keeps it"
