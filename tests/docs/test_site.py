"""The site of the documents: built strictly, complete, drawn as GitHub draws the pages, nothing from another host."""

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page

from tests.support.machine_speed import patience
from tests.support.node import ROOT
from tests.support.processes import until
from tests.support.project_files import project_files

SITE = ROOT / ".cache" / "site"
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "embed": "src",
    "object": "data",
    "use": "href",
}
NOT_LOADED = {"canonical", "next", "prev", "alternate", "author"}
BLOCKS = ("li", "td", "pre", "code", "h2", "h3", "blockquote", "strong", "em")
FOREIGN = re.compile(r"(?i)^\s*(?:[a-z]+:)?//")

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def site() -> Path:
    """The site that `make site` builds."""
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=patience(200))
    assert (done.returncode, done.stderr) == (0, ""), (
        "a broken link, an anchor that is missing, or a page outside of nav"
    )
    return SITE


class Tags(HTMLParser):
    """What a page loads by itself, and how many of each block element its article has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.blocks: Counter[str] = Counter()
        self._is_article = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self._is_article |= tag == "article"
        self.blocks[tag] += self._is_article
        if tag == "link" and not set((given.get("rel") or "").split()) & NOT_LOADED:
            self.loads.append(given.get("href") or "")
        self.loads += [given.get(LOADED.get(tag, "")) or "", *(given.get("srcset") or "").split(",")]

    def handle_endtag(self, tag: str) -> None:
        self._is_article &= tag != "article"


def test_no_page_and_no_stylesheet_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))

    assert len(pages) > 150
    loaded = {(page.name, url) for page in pages for url in Tags(page.read_text(encoding="utf-8")).loads}
    assert {each for each in loaded if FOREIGN.match(each[1])} == set()
    assert [url for url in re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]+)", styles) if FOREIGN.match(url)] == []


def test_the_pages_of_the_site_have_the_blocks_that_github_shows(site: Path) -> None:
    """MkDocs and GitHub read lists, tables and fences differently: a page must be written so that both agree."""
    commonmark = MarkdownIt("commonmark").enable("table")
    sources = [*project_files(ROOT / "docs", "*.md"), ROOT / "README.md", *project_files(ROOT / "clients", "README.md")]
    differing = []
    assert [each for each in sources if "```mermaid" in each.read_text(encoding="utf-8")] == [], "shown as its source"
    for source in sources:
        inside = source.is_relative_to(ROOT / "docs")
        place = source.relative_to(ROOT / "docs") if inside else "repository" / source.relative_to(ROOT)
        page = site / place.with_name("index.html" if place.name == "README.md" else f"{place.stem}.html")
        shown = Tags(page.read_text(encoding="utf-8")).blocks
        written = Tags(f"<article>{commonmark.render(source.read_text(encoding='utf-8'))}</article>").blocks
        differing += [f"{place}: {tag}" for tag in BLOCKS if shown[tag] != written[tag]]

    assert len(sources) > 70
    assert differing == []


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def typed(page: Page, words: str) -> bool:
    """Type into the search, which misses keys until its index is loaded."""
    page.fill("input[name=query]", "")
    page.locator("input[name=query]").press_sequentially(words)
    page.wait_for_timeout(500)
    return True


@pytest.mark.browser
def test_a_reader_finds_a_page_by_the_search_and_no_other_host_is_asked(address: str, browser: Browser) -> None:
    asked: list[str] = []
    problems: list[str] = []
    with browser.new_page() as page:
        page.set_default_timeout(patience(30) * 1000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/index.html")
        found = page.locator(".md-search-result__link", has_text="Errors").first
        until(lambda: typed(page, "TOO_MANY_EXPORTS") and found.is_visible(), 30, "the search finds the page", pause=1)
        found.click()
        page.wait_for_url("**/reference/errors.html*")
        page.click(".md-tabs >> text=Tutorial")
        page.locator("h1", has_text="your first paid finding").wait_for()

    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert problems == []
