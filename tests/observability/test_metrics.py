"""The contents of `/metrics`; the Grafana board uses only metrics that exist."""

import json
from pathlib import Path

import pytest
from flask import Flask

from app.realtime import emitter
from tests.factories import deposit, file_vulnerability, make_agent, report
from tests.support.api import Api
from tests.support.machine_speed import slowdown
from tests.support.processes import until
from tests.support.promql import metric_names
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
SUFFIXES = ("_bucket", "_sum", "_count")


@pytest.fixture
def shown(stack: Stack) -> str:
    return stack.api.with_token(None).get("//metrics").body.decode()


@pytest.fixture
def defined(api: Api, in_context: Flask) -> str:
    """All metrics, also those that nothing has been counted in yet."""
    emitter.tick()
    return api.with_token(None).get("//metrics").body.decode()


def test_every_query_of_the_grafana_dashboard_names_a_metric_that_exists(defined: str) -> None:
    board = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]

    assert len(queries) > 30
    for query in queries:
        for name in metric_names(query):
            base = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
            assert f"# TYPE {base} " in defined, query


def test_every_metric_has_a_help_text(shown: str) -> None:
    types = {line.split(" ")[2] for line in shown.splitlines() if line.startswith("# TYPE")}
    helps = {line.split(" ")[2] for line in shown.splitlines() if line.startswith("# HELP") and line.count(" ") > 2}

    assert types
    assert {name for name in types if name.startswith("dashboard_")} <= helps


def test_a_report_is_counted_from_acceptance_to_emission(stack: Stack, protocol_id: str) -> None:
    agent_id = make_agent(stack.api)
    before = stack.metric("dashboard_progress_accepted_total", status="RUNNING")
    emitted = stack.metric("dashboard_events_emitted_total", event="agent:task_update")
    observed = stack.metric("dashboard_progress_latency_seconds_count")

    for progress in (1, 2):
        body = report(protocol_id, progress=progress)
        stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)

    assert stack.metric("dashboard_progress_accepted_total", status="RUNNING") == before + 2
    until(lambda: stack.metric("dashboard_events_emitted_total", event="agent:task_update") > emitted, 5, "emitted")
    until(lambda: stack.metric("dashboard_progress_latency_seconds_count") > observed, 5, "its latency is observed")


def test_tasks_are_counted_in_the_workers_with_their_wait(stack: Stack, protocol_id: str) -> None:
    deposit(stack.api, protocol_id, "10.00")
    vulnerability = file_vulnerability(stack.api, protocol_id, bounty="4.00")
    stack.api.validator.post(f"/vulnerabilities/{vulnerability['id']}/confirm", {}).expect(200)
    stack.api.owner.post(f"/vulnerabilities/{vulnerability['id']}/payment", {"recipient": "0xabc"}).expect(202)

    def settled() -> bool:
        return stack.metric("dashboard_celery_tasks_total", task="tasks.payments.settle", state="SUCCESS") > 0

    until(settled, 10, "the task is counted")
    assert stack.metric("dashboard_celery_wait_seconds_count", task="tasks.payments.settle") > 0


def test_on_a_running_system_the_last_tick_is_recent(stack: Stack) -> None:
    def young() -> bool:
        return "dashboard_beat_tick_age_seconds" in stack.api.with_token(None).get("//metrics").body.decode()

    until(young, 10, "the first tick is there")
    assert stack.metric("dashboard_beat_tick_age_seconds") < 10 * slowdown()
