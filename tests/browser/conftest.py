"""A browser on a running system: pages signed in as any role, and the errors they logged."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request
from playwright.sync_api import Error as PlaywrightError

from tests.support.machine_speed import patience
from tests.support.stack import Stack

LIVE_SECONDS = 30.0
LOCALE = "en-GB"
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"  # Chromium aborts requests when containers start or stop on this machine
MAX_LOADS = 5
WIDE = {"width": 1440, "height": 1000}
NARROW = {"width": 360, "height": 740}
MEDIA = ("color_scheme", "forced_colors", "reduced_motion")  # options of a context that a page can have as well


@dataclass
class Visit:
    """One page of one browser context, with its errors and warnings."""

    page: Page
    problems: list[str] = field(default_factory=list)
    is_cut: bool = False  # a request of the page was aborted because the machine's network changed

    def __post_init__(self) -> None:
        self.page.set_default_timeout(patience(2 * LIVE_SECONDS) * 1000)
        self.page.on("requestfailed", self._note_cut)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("console", self._record)

    def _note_cut(self, request: Request) -> None:
        self.is_cut |= NETWORK_CHANGED in (request.failure or "")

    def open(self, url: str) -> None:
        """Load a page, again if not all of it could be loaded."""
        for _ in range(MAX_LOADS):
            self.is_cut = False
            try:
                self.page.goto(url)
            except PlaywrightError as error:
                if NETWORK_CHANGED not in error.message:
                    raise
            if not self.is_cut:
                return

    def _record(self, message: Any) -> None:
        is_of_the_page = NETWORK_CHANGED not in message.text
        if message.type in ("error", "warning") and is_of_the_page:
            self.problems.append(f"{message.type}: {message.text}")

    def wait_until_live(self, seconds: float = LIVE_SECONDS) -> None:
        self.page.wait_for_selector("[data-status=live]", timeout=patience(seconds) * 1000)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def see(self, selector: str, text: str, seconds: float = LIVE_SECONDS) -> None:
        """Wait until a matching element shows this text."""
        self.page.locator(selector, has_text=text).first.wait_for(timeout=patience(seconds) * 1000)


Open = Callable[..., Visit]


STORED = "cookies,local_storage,indexeddb,service_workers,cache_storage"


class Contexts:
    """Browser contexts that tests use one after the other: what a test has stored goes, the HTTP cache stays.

    Without the cache, each page loads a hundred modules, for 0.3 s of processor time. The first page of a context stays
    too, and with it the process of the next ones (`--process-per-site`), for 0.4 s.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: dict[str, list[BrowserContext]] = defaultdict(list)

    def borrow(self, system: Stack, locale: str = LOCALE) -> BrowserContext:
        if free := self._free[locale]:
            return free.pop()
        context = self._browser.new_context(viewport=WIDE, locale=locale, timezone_id="UTC")
        Visit(context.new_page()).open(f"{system.url}/healthz")
        return context

    def give_back(self, context: BrowserContext, locale: str = LOCALE) -> None:
        kept, *used = context.pages
        session = context.new_cdp_session(kept)
        for origin in {"/".join(page.url.split("/")[:3]) for page in used if page.url.startswith("http")}:
            session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": STORED})
        session.detach()
        for page in used:
            page.close()
        self._free[locale].append(context)


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Contexts:
    return Contexts(browser)


@pytest.fixture
def visit(browser: Browser, contexts: Contexts) -> Iterator[Open]:
    """`visit(stack, role, protocol_id)`: the page, signed in unless `protocol_id` is None.

    With `is_alone`, or options of a context, it has a context of its own, such as for a clock that stays installed.
    """
    own: list[BrowserContext] = []
    borrowed: list[tuple[BrowserContext, str]] = []

    def open_page(
        system: Stack,
        role: str = "viewer",
        protocol_id: str | None = None,
        *,
        viewport: dict[str, int] = WIDE,
        protocols: list[str] | None = None,
        ttl: float = 3600,
        locale: str = LOCALE,
        is_alone: bool = False,
        **options: Any,
    ) -> Visit:
        media = {name: options.pop(name) for name in MEDIA if name in options}
        if is_alone or options:
            own.append(browser.new_context(viewport=viewport, locale=locale, timezone_id="UTC", **options))
            page = own[-1].new_page()
        else:
            borrowed.append((contexts.borrow(system, locale), locale))
            page = borrowed[-1][0].new_page()
            page.set_viewport_size(viewport)
        if media:
            page.emulate_media(**media)
        seen = Visit(page)
        if protocol_id:
            token = system.api.token(role, protocols=protocols or [protocol_id], ttl=ttl)
            page.add_init_script(f"localStorage.setItem('dashboard.token', '{token}')")
        seen.open(f"{system.url}/?inspect&protocol={protocol_id or ''}")
        if protocol_id:
            seen.wait_until_live()
        return seen

    yield open_page
    for context in own:
        context.close()
    for context, locale in borrowed:
        contexts.give_back(context, locale)
