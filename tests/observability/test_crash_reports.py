"""Unexpected errors are reported to Sentry once, with the request id; refusals and callers' data are not."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.collector import Collector, collecting
from tests.support.processes import until
from tests.support.stack import Stack

GARBAGE = "no-date-7331.77"
SETTLED_SECONDS = 20


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def watched(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system that reports its crashes; where to comes from a file, as secrets do."""
    folder = tmp_path_factory.mktemp("watched")
    file = Path(folder / "dsn")
    file.write_text(collector.dsn + "\n", encoding="utf-8")
    with Stack(folder, SENTRY_DSN_FILE=str(file), SENTRY_ENVIRONMENT="test") as system:
        yield system


def spoil(stack: Stack, table: str, key: str) -> None:
    """Write past the system what cannot be a date: reading it fails in a way nobody foresaw."""
    with sqlite3.connect(stack.home / "dashboard.db", timeout=10) as connection:
        changed = connection.execute(f"UPDATE {table} SET created_at = ? WHERE id = ?", (GARBAGE, key))
        assert changed.rowcount == 1


def reports(collector: Collector, request_id: str) -> list[dict]:
    return [event for event in collector.crashes() if event["tags"].get("request_id") == request_id]


def test_a_500_response_is_one_crash_report_with_the_request_id(watched: Stack, collector: Collector) -> None:
    protocol_id, name = make_protocol(watched.api), "this-very-crash"
    spoil(watched, "protocols", protocol_id)

    answer = watched.api.viewer.get(f"/protocols/{protocol_id}", X_Request_Id=name)

    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    (event,) = until(lambda: reports(collector, name), 10, "the report arrives")
    (error,) = event["exception"]["values"]
    assert error["type"] == "ValueError"
    assert error["stacktrace"]["frames"]
    assert event["tags"] == {"request_id": name, "method": "GET", "route": "/api/v1/protocols/<string:protocol_id>"}
    assert event["environment"] == "test"
    assert event["release"].startswith("dashboard-realtime@")


def test_a_failed_job_is_reported_with_the_id_of_its_request(watched: Stack, collector: Collector) -> None:
    protocol_id, name = make_protocol(watched.api), "breaking-payment"
    deposit(watched.api, protocol_id, "10.00")
    vulnerability = file_vulnerability(watched.api, protocol_id, bounty="4.00")
    watched.api.validator.post(f"/vulnerabilities/{vulnerability['id']}/confirm", {}).expect(200)
    watched.freeze("worker-payments")
    try:
        path = f"/vulnerabilities/{vulnerability['id']}/payment"
        payment = watched.api.owner.post(path, {"recipient": "0xabc"}, X_Request_Id=name).expect(202)
        spoil(watched, "payments", payment["id"])
    finally:
        watched.thaw("worker-payments")

    event = until(lambda: reports(collector, name), SETTLED_SECONDS, "the report arrives")[0]

    assert event["tags"] == {"request_id": name, "task": "tasks.payments.settle"}
    assert event["exception"]["values"][-1]["type"] == "ValueError"


def test_expected_errors_are_not_reported_and_reports_contain_no_values(watched: Stack, collector: Collector) -> None:
    api, token = watched.api, watched.api.token("owner")
    protocol_id, words = make_protocol(api), "words-of-a-body"
    api.viewer.get("/protocols/nothing-here", X_Request_Id="refused-404").expect(404)
    api.admin.post("/protocols", {"id": protocol_id, "name": words}, X_Request_Id="refused-409").expect(409)
    body = {"amount": words, "reference": words}
    api.with_token(token).post(f"/protocols/{protocol_id}/deposits", body, X_Request_Id="refused-422").expect(422)
    spoil(watched, "protocols", protocol_id)
    path = f"/protocols/{protocol_id}?cursor={words}"
    assert api.with_token(token).get(path, X_Request_Id="after-the-refusals").status == 500

    until(lambda: reports(collector, "after-the-refusals"), 10, "what came after is reported")

    assert not [event for event in collector.crashes() if event["tags"].get("request_id", "").startswith("refused")]
    assert len(reports(collector, "after-the-refusals")) == 1
    for secret in (GARBAGE, words, token, "Bearer", watched.signing_key):
        assert secret.encode() not in collector.everything, secret
    assert "publickey" not in watched.log
