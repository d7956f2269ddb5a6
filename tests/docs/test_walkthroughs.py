"""Every command of the pages works on a fresh `make run` and prints the documented response."""

import re
from pathlib import Path

import pytest

from tests.support.project_files import ROOT, project_files
from tests.support.walkthrough import Reader, blocks_of

PAGES = {"README.md": 7, "docs/examples/README.md": 11, "docs/clients.md": 1}
"""Each page, and how many blocks of commands it has at least: none must be lost by a changed fence."""

ON_ONE_DEMO = [("docs/clients.md", "README.md"), ("docs/examples/README.md",)]
"""`clients.md` only reads; the others create the same objects."""

pytestmark = [pytest.mark.slow]


@pytest.mark.parametrize("pages", ON_ONE_DEMO, ids=" and ".join)
def test_every_command_of_the_page_works_on_a_fresh_demo(pages: tuple[str, ...], tmp_path: Path) -> None:
    reader = Reader(tmp_path)

    with reader.demo():
        for page in pages:
            blocks = blocks_of(ROOT / page)
            assert len(blocks) >= PAGES[page]
            reader.open_a_new_shell()
            for block in blocks:
                reader.run(block)


def test_every_page_is_read() -> None:
    assert sorted(page for pages in ON_ONE_DEMO for page in pages) == sorted(PAGES)


def test_every_page_uses_the_command_by_a_name_on_the_path() -> None:
    pages = [ROOT / "README.md", *project_files(ROOT / "docs", "*.md", "*.py", "*.sh", "*.mjs")]
    written = {page: page.read_text(encoding="utf-8") for page in pages}

    assert [page.name for page, text in written.items() if "$(dashboard " in text or "\ndashboard " in text] == []


def test_no_command_of_a_page_sets_a_special_variable_of_a_shell() -> None:
    """`path` is zsh's own name for PATH: set it, and no command is found any more."""
    commands = "".join(block.commands for page in PAGES for block in blocks_of(ROOT / page))

    assert re.findall(r"\b(path|status|argv|PATH|HOME)=", commands) == []
