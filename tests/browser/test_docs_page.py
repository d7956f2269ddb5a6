"""The page at /docs shows both documents with a search and requests no other host."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.browser.conftest import MEDIA, WIDE, Contexts, Visit
from tests.browser.test_quality import axe_violations
from tests.support.machine_speed import patience
from tests.support.stack import Stack

CARDS = "#content .card"
OF_EACH_KIND = [
    "createDeposit",
    "deleteWebhook",
    "vulnStatusChangedWebhook",
    "listAudit",
    "sendAgentTaskUpdate",
    "receiveProtocolJoin",
]
LEAST_MEANING_PX = 300
METHODS = ("get", "post", "put", "patch", "delete")


class DocsVisit(Visit):
    """The page and the hosts it requested."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hosts: set[str] = set()
        self.listen("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.listen("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))

    def shown(self) -> list[str]:
        """The ids of the visible operations and events."""
        ids: list[str] = self.page.eval_on_selector_all(
            CARDS, "cards => cards.filter((card) => card.checkVisibility()).map((card) => card.id)"
        )
        return ids


def open_docs(contexts: Contexts, stack: Stack) -> Iterator[DocsVisit]:
    seen = DocsVisit(contexts.borrow(stack))
    seen.page.set_viewport_size(WIDE)
    seen.page.emulate_media(**MEDIA)
    seen.open(f"{stack.url}/docs")
    seen.page.wait_for_selector("#content:not([aria-busy]) .card")
    yield seen
    contexts.give_back(seen)


@pytest.fixture
def docs(contexts: Contexts, stack: Stack) -> Iterator[DocsVisit]:
    yield from open_docs(contexts, stack)


@pytest.fixture(scope="module")
def read(contexts: Contexts, stack: Stack) -> Iterator[DocsVisit]:
    """The page for tests that only read it and leave its search empty."""
    yield from open_docs(contexts, stack)


def document(stack: Stack, name: str) -> Any:
    response = requests.get(f"{stack.url}/{name}.json", timeout=patience(10))
    response.raise_for_status()
    return response.json()


def rest_ids(openapi: dict[str, Any]) -> set[str]:
    items = [*openapi["paths"].values(), *openapi.get("webhooks", {}).values()]
    return {item[method]["operationId"] for item in items for method in METHODS if method in item}


def test_every_operation_and_every_event_is_listed_and_linked(stack: Stack, read: DocsVisit) -> None:
    expected = rest_ids(document(stack, "openapi")) | set(document(stack, "asyncapi")["operations"])

    links = read.page.eval_on_selector_all("#links li a", "all => all.map((link) => link.hash.slice(1))")

    assert len(read.shown()) == len(expected)
    assert set(read.shown()) == expected
    assert set(links) == expected
    for heading in ("bounty_pool:updated", "agent:task_update", "vuln:status_changed", "protocol:join"):
        assert read.page.get_by_role("heading", name=heading, exact=True).first.is_visible()


def test_the_search_filters_page_and_contents_and_escape_clears_it(read: DocsVisit) -> None:
    everything = read.shown()

    read.page.keyboard.press("/")
    read.page.keyboard.type("idempotency-key deposit")
    fewer = read.shown()

    assert 0 < len(fewer) < len(everything) / 2
    assert read.text("#found") == f"{len(fewer)} of {len(everything)}"
    assert read.page.locator("#links li:visible").count() == len(fewer)
    texts = read.page.locator(f"{CARDS}:visible").all_text_contents()
    assert any("/deposits" in text for text in texts)

    read.page.keyboard.press("Escape")
    assert read.shown() == everything
    assert read.text("#found") == ""


def test_a_search_without_matches_shows_nothing(read: DocsVisit) -> None:
    read.page.fill("#search", "no such word anywhere")

    assert read.shown() == []
    assert read.text("#found").startswith("0 of ")
    assert read.page.locator(".group:visible, .link-group:visible").count() == 0
    read.page.fill("#search", "")


def test_the_page_logs_no_error_and_requests_no_other_host(stack: Stack, docs: DocsVisit) -> None:
    docs.page.fill("#search", "pool")
    docs.page.click("#theme")
    docs.page.locator("#links a:visible").nth(1).click()
    docs.page.wait_for_load_state("networkidle")

    assert docs.problems == []
    assert docs.hosts - {""} == {urlsplit(stack.url).netloc}


def test_axe_finds_no_violation(docs: DocsVisit) -> None:
    """All cards without the contrast of colours, which takes ten seconds; then a card of each kind in both schemes."""
    docs.page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert axe_violations(docs, without=["color-contrast"]) == []
    docs.page.eval_on_selector_all(
        CARDS, "(cards, kept) => cards.forEach((card) => kept.includes(card.id) || card.remove())", OF_EACH_KIND
    )
    assert docs.shown() == OF_EACH_KIND
    assert axe_violations(docs) == []
    docs.page.emulate_media(color_scheme="dark")
    docs.page.set_viewport_size({"width": 360, "height": 900})
    assert axe_violations(docs) == []


def test_nothing_overflows_at_any_width_and_descriptions_of_nested_members_have_enough(read: DocsVisit) -> None:
    read.page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    for width in (360, 768, 1440):
        read.page.set_viewport_size({"width": width, "height": 900})
        read.page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
    widths = read.page.eval_on_selector_all(
        ".nested .members tr:not(.nested) > td:last-child", "cells => cells.map((cell) => cell.clientWidth)"
    )
    assert min(widths) > LEAST_MEANING_PX


def test_the_docs_page_uses_the_theme_of_the_dashboard(stack: Stack, docs: DocsVisit) -> None:
    assert docs.page.locator("#theme svg").is_visible()
    docs.page.click("#theme")
    docs.page.click("#theme")
    assert docs.page.get_by_role("button", name="Colours: dark").is_visible()
    docs.page.goto(stack.url)
    assert docs.page.evaluate("document.documentElement.dataset.theme") == "dark"
    docs.page.goto(f"{stack.url}/docs")
    assert docs.page.evaluate("document.documentElement.dataset.theme") == "dark"
