"""The tutorial and the how-to guides, as a reader follows them: their commands, and the pages that they open."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, chromium
from tests.support.machine_speed import patience
from tests.support.processes import start, stop
from tests.support.project_files import ROOT, project_files
from tests.support.walkthrough import PAYOUT_PORT, Reader, blocks_of

TUTORIAL = ROOT / "docs" / "tutorials" / "first-finding.md"
GUIDES = ROOT / "docs" / "how-to"
OWN_PAGE = GUIDES / "your-own-page.md"
WITH_COMMANDS = {"your-own-page.md": 3, "revoke-a-token.md": 3, "export-the-books.md": 2, "find-a-missing-event.md": 1}
"""Each guide with commands that are run, and how many blocks of them it has: none must be lost by a changed fence."""

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@contextmanager
def browser_page(url: str) -> Iterator[Page]:
    path, environment = chromium()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=str(path), args=ARGUMENTS, env={**os.environ, **environment}
        )
        page = launched.new_page(locale="en-GB")
        page.set_default_timeout(patience(30) * 1000)
        page.goto(url)
        yield page
        launched.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has started the system, with the setting that `your-own-page.md` asks for."""
    made = Reader(tmp_path_factory.mktemp("reader"))
    with made.demo(DASHBOARD_ALLOWED_ORIGINS=made.as_run(f"http://127.0.0.1:{PAYOUT_PORT}")):
        yield made


def test_the_tutorial_leads_to_a_paid_finding(reader: Reader) -> None:
    text, blocks = TUTORIAL.read_text(encoding="utf-8"), blocks_of(TUTORIAL)
    assert len(blocks) >= 9
    assert "```console\n$ make run\n```" in text, "the reader has started what `make run` starts"

    reader.open_a_new_shell()
    for block in blocks:
        reader.run(block)
    assert_the_page_shows_the_payment(reader, text)


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_the_guide_works_on_a_running_system(reader: Reader, name: str) -> None:
    blocks = blocks_of(GUIDES / name)
    assert len(blocks) == WITH_COMMANDS[name]

    reader.open_a_new_shell()
    for block in blocks:
        reader.run(block)
    if name == OWN_PAGE.name:
        assert_the_own_page_is_live(reader)


def assert_the_page_shows_the_payment(reader: Reader, text: str) -> None:
    """What the reader does on the page: the bold words of the fourth step are what is clicked."""
    address, role, protocol = re.findall(r"browser with <(\S+)>.*?\*\*(\w+)\*\*.*?\*\*([^*]+)\*\*", text, re.DOTALL)[0]
    with browser_page(reader.as_run(address)) as page:
        page.click(f".bar .segments >> text={role}")
        page.locator(".bar select").select_option(label=protocol)
        page.locator("[data-field=available]", has_text="750.00").wait_for()
        page.click(".finding-title >> text=Reentrancy in withdraw()")
        page.locator(".side-panel", has_text="paid").wait_for()
        page.locator(".history li", has_text="owner@vault").first.wait_for()


def assert_the_own_page_is_live(reader: Reader) -> None:
    """The page of the guide, served by its last command, in a browser at the address that its third step prints."""
    serve = blocks_of(OWN_PAGE)[-1].commands
    log = reader.folder / "served.log"
    token = reader.output(".venv/bin/dashboard token --role viewer --protocol demo")
    server = start(["bash", "-c", reader.as_run(f"exec {serve}")], log=log, cwd=reader.folder)
    try:
        address = reader.as_run(f"http://127.0.0.1:{PAYOUT_PORT}/#demo,{token}")
        with browser_page(address) as page:
            page.locator("#status", has_text="live").wait_for()
            page.locator("#available", has_text="USDC").wait_for()
    finally:
        stop(server)


def test_every_guide_with_commands_is_followed() -> None:
    with_commands = {page.name for page in project_files(GUIDES, "*.md") if blocks_of(page)}

    assert with_commands == WITH_COMMANDS.keys()
