"""An owner creates, tests, rotates, disables and deletes a webhook on the page, and sees each delivery."""

from standardwebhooks import Webhook

from tests.browser.conftest import NARROW, WIDE, Open
from tests.browser.test_quality import axe_violations
from tests.factories import deposit
from tests.support.processes import until
from tests.support.stack import Stack
from tests.support.webhook_receiver import OK, status, webhook_receiver

NOT_NOW = status(503, "Retry-After: 3600")  # within the test it is not tried again unless the owner asks for it
STORED = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"


def test_an_owner_manages_webhooks_on_the_page(stack: Stack, protocol_id: str, visit: Open) -> None:
    owner = visit(stack, "owner", protocol_id, viewport=WIDE)
    page = owner.page
    with webhook_receiver() as receiver:
        url = receiver.script("hook", NOT_NOW)
        page.click("nav.views >> text=Webhooks")
        owner.see("[aria-labelledby=webhooks-title]", "There is none")
        page.fill("#new-webhook-url", "https://10.0.0.1/hook")
        page.click("#new-webhook [type=submit]")
        owner.see("#new-webhook-url-fault", "")
        page.fill("#new-webhook-url", url)
        page.fill("#new-webhook-description", "Incident channel")
        page.click("#new-webhook [type=submit]")
        page.wait_for_selector(".new-token input")
        secret = page.input_value(".new-token input")
        assert axe_violations(owner) == []
        assert secret not in page.evaluate(STORED)
        page.click(".new-token >> text=Done")
        page.wait_for_selector(".new-token", state="detached")
        assert secret not in page.content()

        row = f"[data-row]:has-text('{url}')"
        page.click(f"{row} >> text=Test")
        page.click(f"{row} a")
        deliveries = "[aria-labelledby=deliveries-title]"
        owner.see(deliveries, "webhook:test")
        owner.see(deliveries, "HTTP 503")
        receiver.script("hook", OK)
        page.click(f"{deliveries} >> text=Try now")
        owner.see(f"{deliveries} .state", "delivered")
        deposit(stack.api, protocol_id, "5")
        owner.see(deliveries, "bounty_pool:updated")
        until(lambda: len(receiver.of("hook")) >= 3, 30, "the deposit's delivery")
        for each in receiver.of("hook"):
            Webhook(secret).verify(each.body, each.headers)

        page.click(f"{row} >> text=New secret")
        page.click("dialog [type=submit]")
        page.wait_for_selector(".new-token input")
        renewed = page.input_value(".new-token input")
        assert renewed != secret
        page.click(".new-token >> text=Done")
        page.set_viewport_size(NARROW)
        assert axe_violations(owner) == []
        page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
        page.click(f"{row} >> text=Disable")
        owner.see(row, "disabled")
        page.click(f"{row} >> text=Delete")
        page.click("dialog [type=submit]")
        owner.see("[aria-labelledby=webhooks-title]", "There is none")
    assert [each for each in owner.problems if "422" not in each] == []
