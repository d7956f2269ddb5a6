"""docs/configuration.md is generated, and is what the code says now."""

from dataclasses import fields
from pathlib import Path

from app.config import Config
from tests.support.document_tools import configuration_page

PAGE = Path(__file__).parents[2] / "docs/configuration.md"


def test_the_configuration_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == configuration_page(), "run `make docs`"


def test_every_setting_has_a_row() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert all(f"| `{each.metadata['env']}`" in page for each in fields(Config))
