"""Files, settings, metrics, log events and tests that the pages name exist."""

import re
from pathlib import Path

import pytest

from tests.support.project_files import ROOT, project_files

PAGES = [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")] + project_files(ROOT / "docs", "*.md")
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
SOURCES = [*project_files(ROOT / "app", "*.py"), *project_files(ROOT / "tasks", "*.py"), ROOT / "celery_worker.py"]
CODE = "\n".join(source.read_text(encoding="utf-8") for source in SOURCES)
SET_OUTSIDE_OF_THE_CODE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8") + "DASHBOARD_URL DASHBOARD_TOKEN"


def missing(pattern: str, found: str) -> list[str]:
    named = {(page, name) for page, text in TEXTS.items() for name in re.findall(pattern, text)}
    return sorted(f"{page}: {name}" for page, name in named if name not in found)


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_on_the_page_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", TEXTS[page])
    local = [link for link in links if not link.startswith(("http://", "https://"))]

    assert [link for link in local if not ((ROOT / page).parent / link).resolve().exists()] == []


def test_every_setting_named_on_a_page_exists() -> None:
    assert missing(r"\b((?:DASHBOARD|PAYOUT)_[A-Z][A-Z_]*[A-Z])\b(?<!_FILE)", CODE + SET_OUTSIDE_OF_THE_CODE) == []


def test_every_metric_named_on_a_page_exists() -> None:
    assert missing(r"\b(dashboard_[a-z_]+_(?:total|seconds|length|waiting|connections|sockets))\b", CODE) == []


def test_every_log_event_named_on_a_page_exists() -> None:
    assert missing(r"`((?:event|outbox|fanout|metrics|payment)\.[a-z_]+)`", CODE) == []


def test_every_test_named_on_the_reliability_page_exists() -> None:
    tests = {path.stem for path in project_files(ROOT / "tests", "test_*.py")}
    named = set(re.findall(r"`(test_[a-z_]+)`", TEXTS["docs/reliability.md"]))

    assert len(named) > 15
    assert named - tests == set()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    pages = {Path(page).stem for page in TEXTS if page.startswith("docs/runbooks/Dashboard")}

    assert set(alerts) == pages
    assert set(re.findall(r"\b(Dashboard[A-Z]\w+)", " ".join(TEXTS.values()))) <= pages


def test_no_runbook_scales_one_service_and_resets_the_others() -> None:
    commands = [
        (page, command)
        for page, text in TEXTS.items()
        if page.startswith("docs/runbooks/")
        for command in re.findall(r"`([^`\n]*--scale [^`\n]*)`", text)
    ]

    assert len(commands) > 5
    one_alone = re.compile(r"docker compose up --detach --no-deps --no-recreate --scale ([a-z-]+)=\d+ \1")
    assert [each for each in commands if not one_alone.fullmatch(each[1])] == []
