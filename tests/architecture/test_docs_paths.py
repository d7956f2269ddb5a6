"""The paths in the text of the pages exist, so that a moved file is noticed where it is described."""

import re

import pytest

from tests.support.project_files import ROOT, project_files

ROOT_PAGES = [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md")]
PAGES = {
    str(page.relative_to(ROOT)): page
    for page in ROOT_PAGES + project_files(ROOT / "docs", "*.md") + project_files(ROOT / "clients", "*.md")
}
PATH = re.compile(r"`((?:app|clients|tasks|tests|bench|scripts|deploy)/[\w./-]+)`")
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)")


def test_the_pages_name_paths() -> None:
    assert sum(len(PATH.findall(page.read_text(encoding="utf-8"))) for page in PAGES.values()) > 100


@pytest.mark.parametrize("name", PAGES)
def test_every_path_named_on_the_page_exists(name: str) -> None:
    paths = set(PATH.findall(PAGES[name].read_text(encoding="utf-8")))

    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_every_link_of_the_contributing_guide_leads_to_a_file() -> None:
    links = LINK.findall(PAGES["CONTRIBUTING.md"].read_text(encoding="utf-8"))

    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []
