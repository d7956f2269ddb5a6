"""Signing in, out, and being signed out."""

from tests.browser.conftest import Open
from tests.factories import file_vulnerability, make_protocol
from tests.support.stack import Stack, StackMaker


def test_without_a_token_the_page_asks_for_one_and_takes_it(stack: Stack, visit: Open) -> None:
    protocol_id = make_protocol(stack.api, name="Mine")
    page = visit(stack)
    page.page.fill("#token", "no token")
    page.page.click("[type=submit]")
    page.see("[role=alert]", "no token")
    page.page.fill("#token", stack.api.token("viewer", protocols=[protocol_id]))
    page.page.click("[type=submit]")
    page.wait_until_live()
    page.see(".bar", "Mine")
    page.page.click("text=Sign out")
    page.page.wait_for_selector("#token")
    assert page.page.evaluate("sessionStorage.length") == 0


def test_a_refused_token_is_told_and_can_be_replaced(stack: Stack, protocol_id: str, visit: Open) -> None:
    page = visit(stack)
    page.page.fill("#token", stack.api.token("viewer", protocols=[protocol_id])[:-6] + "AAAAAA")
    page.page.click("[type=submit]")
    page.see("[role=alert]", "not valid")
    page.page.wait_for_selector("#token")


def test_the_demo_signs_in_as_a_viewer_and_offers_the_other_roles(make_stack: StackMaker, visit: Open) -> None:
    own = make_stack(DASHBOARD_DEMO="1")
    make_protocol(own.api, id="demo", name="Demo")
    file_vulnerability(own.api, "demo", title="For the validator")
    page = visit(own)
    page.wait_until_live()
    assert page.page.get_attribute(".segments [aria-pressed=true]", "aria-pressed") == "true"
    assert page.text(".bar [aria-pressed=true]").lower() == "viewer"
    page.page.click(".bar .segments >> text=validator")
    page.page.click(".cell-actions >> text=Confirm")
    page.page.wait_for_selector("dialog[open]")


def test_what_people_write_is_shown_as_text(stack: Stack, protocol_id: str, visit: Open) -> None:
    title = "<img src=x onerror=alert(1)>"
    file_vulnerability(stack.api, protocol_id, title=title)
    page = visit(stack, "viewer", protocol_id)
    page.see(".finding-title", title)
    assert page.page.locator("#findings img").count() == 0
