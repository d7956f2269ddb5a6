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
# Options of a context that a page can have as well, and their defaults.
MEDIA = {"color_scheme": "light", "forced_colors": "none", "reduced_motion": "no-preference"}


@dataclass
class Visit:
    """One page of one browser context, with its errors and warnings.

    What `listen` and `run_first` add to the page is removed at the end, since a later test may get the same page.
    """

    page: Page
    problems: list[str] = field(default_factory=list)
    is_cut: bool = False  # a request of the page was aborted because the machine's network changed
    _added: list[Callable[[], None]] = field(default_factory=list)  # removes what was added

    def __post_init__(self) -> None:
        self.page.set_default_timeout(patience(2 * LIVE_SECONDS) * 1000)
        self.listen("requestfailed", self._note_cut)
        self.listen("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.listen("console", self._record)

    def listen(self, event: str, handler: Callable[[Any], object]) -> None:
        """Call the handler for each of the page's events."""
        self.page.on(event, handler)
        self._added.append(lambda: self.page.remove_listener(event, handler))

    def run_first(self, script: str) -> None:
        """Run the script in each document that the page loads, before the document's own."""
        self._added.append(self.page.add_init_script(script).close)

    def leave(self) -> None:
        for remove in self._added:
            remove()

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
    """Browser contexts that tests use one after the other, each with one page: what a test has stored goes.

    The HTTP cache stays, and so do the page's process and what that process holds of a hundred modules: a page loads
    for 0.4 s of processor time, a new one for 0.7 s, and without the cache for 1 s. Another page of the context stays
    open, so that the process lives (`--process-per-site`) if a test closes its own.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: dict[str, list[BrowserContext]] = defaultdict(list)

    def borrow(self, system: Stack, locale: str = LOCALE) -> Page:
        """The page of a free context, without a document."""
        if not self._free[locale]:
            context = self._browser.new_context(viewport=WIDE, locale=locale, timezone_id="UTC")
            kept = Visit(context.new_page())
            kept.open(f"{system.url}/healthz")
            kept.leave()
        else:
            context = self._free[locale].pop()
        return context.pages[1] if len(context.pages) > 1 else context.new_page()

    def give_back(self, visit: Visit, locale: str = LOCALE, *, is_reusable: bool = True) -> None:
        """Forget what the test has stored; close its pages except for one that can be used again."""
        page, context = visit.page, visit.page.context
        kept, *used = context.pages
        origins = {"/".join(each.url.split("/")[:3]) for each in used if each.url.startswith("http")}
        if is_reusable and page in used:
            used.remove(page)
            self._empty(visit)
        for each in used:
            each.close()
        session = context.new_cdp_session(kept)
        for origin in origins:
            session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": STORED})
        session.detach()
        self._free[locale].append(context)

    @staticmethod
    def _empty(visit: Visit) -> None:
        try:
            visit.page.evaluate("sessionStorage.clear()")
            visit.page.unroute_all(behavior="ignoreErrors")
            visit.leave()
            visit.page.goto("about:blank")
        except PlaywrightError:  # such as on a document that a browser shows in place of one that failed
            visit.page.close()


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Contexts:
    return Contexts(browser)


@pytest.fixture
def visit(browser: Browser, contexts: Contexts) -> Iterator[Open]:
    """`visit(stack, role, protocol_id)`: the page, signed in unless `protocol_id` is None.

    With `is_alone`, or options of a context, it has a context of its own. With `is_last` no other test uses its page:
    a route of WebSockets or an installed clock stays.
    """
    own: list[BrowserContext] = []
    borrowed: list[tuple[Visit, str, bool]] = []

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
        is_last: bool = False,
        **options: Any,
    ) -> Visit:
        media = {name: options.pop(name, default) for name, default in MEDIA.items()}
        if is_alone or options:
            own.append(browser.new_context(viewport=viewport, locale=locale, timezone_id="UTC", **options))
            seen = Visit(own[-1].new_page())
        else:
            seen = Visit(contexts.borrow(system, locale))
            borrowed.append((seen, locale, not is_last))
            seen.page.set_viewport_size(viewport)
        seen.page.emulate_media(**media)
        if protocol_id:
            token = system.api.token(role, protocols=protocols or [protocol_id], ttl=ttl)
            seen.run_first(f"localStorage.setItem('dashboard.token', '{token}')")
        seen.open(f"{system.url}/?inspect&protocol={protocol_id or ''}")
        if protocol_id:
            seen.wait_until_live()
        return seen

    yield open_page
    for context in own:
        context.close()
    for seen, locale, is_reusable in borrowed:
        contexts.give_back(seen, locale, is_reusable=is_reusable)
