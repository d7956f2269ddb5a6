"""Every command of the pages works on a fresh `make run` and prints the documented response.

The tutorial's pages in the browser are opened as well.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page

from tests.support.machine_speed import patience
from tests.support.processes import is_open, start, stop, until
from tests.support.project_files import ROOT, project_files
from tests.support.walkthrough import PAYOUT_PORT, Reader, blocks_of

TUTORIAL, OWN_PAGE = "docs/tutorials/first-finding.md", "docs/how-to/your-own-page.md"
EXAMPLES = "docs/examples/README.md"
PAGES = {
    "docs/clients.md": 2,
    TUTORIAL: 9,
    "README.md": 7,
    OWN_PAGE: 3,
    "docs/how-to/revoke-a-token.md": 3,
    "docs/how-to/export-the-books.md": 2,
    "docs/how-to/find-a-missing-event.md": 1,
    EXAMPLES: 11,
}
"""Each page, and how many blocks of commands it has at least: none must be lost by a changed fence."""
RENAMED = {EXAMPLES: {"P1": "P2", "scanner-7": "scanner-8"}}
"""Objects of the pages that another page creates on the same demo."""

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]  # many commands on a busy machine


@contextmanager
def browser_page(browser: Browser, url: str) -> Iterator[Page]:
    with browser.new_page(locale="en-GB") as page:
        page.set_default_timeout(patience(30) * 1000)
        page.goto(url)
        yield page


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has started the demo, with the setting that `your-own-page.md` asks for."""
    made = Reader(tmp_path_factory.mktemp("reader"))
    with made.demo(DASHBOARD_ALLOWED_ORIGINS=made.as_run(f"http://127.0.0.1:{PAYOUT_PORT}")):
        yield made


def follow(reader: Reader, page: str) -> None:
    blocks = blocks_of(ROOT / page)
    assert len(blocks) >= PAGES[page]
    reader.open_a_new_shell()
    reader.renamed = RENAMED.get(page, {})
    for block in blocks:
        reader.run(block)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(reader: Reader, page: str, browser: Browser) -> None:
    follow(reader, page)
    if page == TUTORIAL:
        assert_the_page_shows_the_payment(reader, browser)
    if page == OWN_PAGE:
        assert_the_own_page_is_live(reader, browser)


def assert_the_page_shows_the_payment(reader: Reader, browser: Browser) -> None:
    """What the reader does on the page: the bold words of the fourth step are what is clicked."""
    text = (ROOT / TUTORIAL).read_text(encoding="utf-8")
    assert "```console\n$ make run\n```" in text, "the reader has started what `make run` starts"
    address, role, protocol = re.findall(r"browser with <(\S+)>.*?\*\*(\w+)\*\*.*?\*\*([^*]+)\*\*", text, re.DOTALL)[0]
    with browser_page(browser, reader.as_run(address)) as page:
        page.click(f".bar .segments >> text={role}")
        page.locator(".bar select").select_option(label=protocol)
        page.locator("[data-field=available]", has_text="750.00").wait_for()
        page.click(".finding-title >> text=Reentrancy in withdraw()")
        page.locator(".side-panel", has_text="paid").wait_for()
        page.locator(".history li", has_text="owner@vault").first.wait_for()


def assert_the_own_page_is_live(reader: Reader, browser: Browser) -> None:
    """The page of the guide, served by its last command, in a browser at the address that its third step prints."""
    serve = blocks_of(ROOT / OWN_PAGE)[-1].commands
    log = reader.folder / "served.log"
    token = reader.output(".venv/bin/dashboard token --role viewer --protocol demo")
    server = start(["bash", "-c", reader.as_run(f"exec {serve}")], log=log, cwd=reader.folder)
    try:
        until(lambda: is_open(int(reader.as_run(PAYOUT_PORT))), 20, f"the page is served: {log}")
        address = reader.as_run(f"http://127.0.0.1:{PAYOUT_PORT}/#demo,{token}")
        with browser_page(browser, address) as page:
            page.locator("#status", has_text="live").wait_for()
            page.locator("#available", has_text="USDC").wait_for()
    finally:
        stop(server)


def test_every_guide_with_commands_is_followed() -> None:
    folders = [ROOT / "docs" / name for name in ("tutorials", "how-to")]
    with_commands = [page for folder in folders for page in project_files(folder, "*.md") if blocks_of(page)]

    assert {str(page.relative_to(ROOT)) for page in with_commands} <= PAGES.keys()


def test_every_page_uses_the_command_by_a_name_on_the_path() -> None:
    pages = [ROOT / "README.md", *project_files(ROOT / "docs", "*.md", "*.py", "*.sh", "*.mjs")]
    written = {page: page.read_text(encoding="utf-8") for page in pages}

    assert [page.name for page, text in written.items() if "$(dashboard " in text or "\ndashboard " in text] == []


def test_no_command_of_a_page_sets_a_special_variable_of_a_shell() -> None:
    """`path` is zsh's own name for PATH: set it, and no command is found any more."""
    commands = "".join(block.commands for page in PAGES for block in blocks_of(ROOT / page))

    assert re.findall(r"(?<![?&])\b(path|status|argv|PATH|HOME)=", commands) == []
