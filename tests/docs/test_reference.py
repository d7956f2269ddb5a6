"""The pages of docs/reference are what `make docs` writes now, and lack nothing of the code."""

import re
from pathlib import Path

import pytest

from app.apidocs import asyncapi
from app.realtime import redis_keys
from app.realtime.events import EventType
from tests.support import reference_api, reference_code, reference_redis
from tests.support.documents import openapi_offline
from tests.support.project_files import ROOT, project_files

SOURCES = [*project_files(ROOT / "app", "*.py"), *project_files(ROOT / "tasks", "*.py")]
CODE = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
Pages = dict[Path, str]


@pytest.fixture(scope="module")
def pages() -> Pages:
    return reference_api.pages(openapi_offline(), asyncapi.document())


def test_each_page_is_up_to_date(pages: Pages) -> None:
    old = [page.name for page, text in pages.items() if page.read_text(encoding="utf-8") != text]

    assert old == [], "run `make docs`"


def test_every_event_has_a_section(pages: Pages) -> None:
    sections = re.findall(r"^## (\S+:\S+)$", pages[reference_api.FOLDER / "events.md"], re.MULTILINE)

    assert sorted(sections) == sorted(EventType)


def test_every_metric_of_the_code_has_a_row_with_its_meaning() -> None:
    rows = reference_code.metrics()

    created = re.findall(r'(?:Counter|Gauge|Histogram|Reading)\(\s*"(dashboard_\w+)"', CODE)
    assert sorted(each.name for each in rows) == sorted(created)
    assert len(created) > 50
    assert [each.name for each in rows if not each.about] == []


def test_every_alert_is_named_beside_a_metric(pages: Pages) -> None:
    alerts = {path.stem for path in project_files(ROOT / "docs" / "runbooks", "Dashboard*.md")}

    assert set(re.findall(r"\[(Dashboard\w+)\]", pages[reference_api.FOLDER / "metrics.md"])) == alerts


def test_every_log_event_of_the_code_has_a_row_with_its_level() -> None:
    rows = reference_code.log_events()

    logged = re.findall(r'(?:\.(?:debug|info|warning|error|exception)|_log|level,)\(?\s*"([a-z_]+\.[a-z_]+)"', CODE)
    assert set(logged) <= rows.keys()
    assert len(rows) > 60
    assert [name for name, row in rows.items() if not row.levels] == []


def test_every_redis_key_has_a_row_with_each_column(pages: Pages) -> None:
    rows = reference_redis.table_rows(pages[reference_api.FOLDER / "redis-keys.md"])
    written = " ".join(key for key, *_ in rows)

    assert len(rows) > 30
    assert [row for row in rows if len(row) != len(rows[0]) or not all(row)] == []
    constants = {name: value for name, value in vars(redis_keys).items() if name.endswith("_KEY")}
    assert [name for name, value in constants.items() if value not in written] == []
