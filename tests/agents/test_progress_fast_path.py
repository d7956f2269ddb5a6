"""The fast path accepts valid RUNNING reports of known agents; all other requests go on to Flask unchanged."""

import io
import json
import logging

import pytest
import redis
from flask import Flask

from app.agents.progress_fast_path import ProgressFastPath
from app.realtime.scripts import RoomScripts
from tests.factories import make_agent, make_protocol, report
from tests.support.api import BASE, Api


class RecordingApp:
    """Stands in for Flask and records the bodies it received."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, environ, start_response):
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b""]


@pytest.fixture
def send(app: Flask, api: Api):
    """`send()` sends a report to the fast path; returns the status, the body, and the bodies that Flask received."""
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    path = f"/agents/{agent_id}/progress"
    api.agent(agent_id).post(path, report(protocol_id, "scan", 1)).expect(202)  # known from now on

    def post(progress: int = 2, **more: str) -> tuple[str, bytes, list[bytes]]:
        body, flask, statuses = json.dumps(report(protocol_id, "scan", progress)).encode(), RecordingApp(), []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": BASE + path,
            "HTTP_AUTHORIZATION": f"Bearer {api.token('admin')}",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": io.BytesIO(body),
        } | more
        b"".join(ProgressFastPath(app, flask)(environ, lambda status, _headers: statuses.append(status)))
        return statuses[0], body, flask.bodies

    return post


def test_a_valid_report_does_not_reach_flask(send) -> None:
    status, _, flask_bodies = send()

    assert status == "202 ACCEPTED"
    assert flask_bodies == []


def test_a_report_that_redis_refuses_goes_on_to_flask_and_is_logged(send, app: Flask, caplog) -> None:
    class Refusing(RoomScripts):
        def run(self, *_: object) -> object:
            raise redis.ResponseError("no")

    app.extensions["room_scripts"] = Refusing(app.extensions["rooms_redis"])
    with caplog.at_level(logging.WARNING, "app.agents.progress_fast_path"):
        _, body, flask_bodies = send()

    assert flask_bodies == [body]
    assert [record.message for record in caplog.records] == ["fast_path.failed"]


@pytest.mark.parametrize(
    "more",
    [{"CONTENT_LENGTH": "5000"}, {"HTTP_CONTENT_ENCODING": "gzip"}, {"CONTENT_TYPE": "text/plain"}],
    ids=["cut off", "zipped", "not JSON"],
)
def test_a_body_that_is_incomplete_compressed_or_not_json_goes_on_to_flask(more, send) -> None:
    _, body, flask_bodies = send(**more)

    assert flask_bodies == [body]


def test_an_unexpected_error_is_logged_with_the_request_id_and_flask_takes_over(send, caplog, monkeypatch) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("app.agents.progress_fast_path.ReportDecoder.are_valid", fail)
    _, body, flask_bodies = send(HTTP_X_REQUEST_ID="mine-1")

    assert flask_bodies == [body]
    (logged,) = [record for record in caplog.records if record.message == "fast_path.failed"]
    assert logged.requestId == "mine-1"
    assert logged.exc_info


def test_a_task_start_that_cannot_be_stored_is_logged_and_the_report_is_accepted(app, api, caplog, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no database")

    protocol_id, agent_id = make_protocol(api), make_agent(api)
    caller, path = api.agent(agent_id), f"/agents/{agent_id}/progress"
    caller.post(path, report(protocol_id, "scan", 1)).expect(202)
    monkeypatch.setattr("app.agents.task_changes.TaskQueues", fail)

    assert caller.post(path, report(protocol_id, "another task", 1)).status == 202
    assert [record.agentIds for record in caplog.records if record.message == "task_start.store_failed"] == [[agent_id]]


THROUGH_FLASK = {"Origin": "https://elsewhere.example"}
OWN = ("content-length", "x-request-id", "ratelimit")


@pytest.mark.parametrize("more", [{}, {"X_Forwarded_Proto": "https"}], ids=["http", "https"])
def test_fast_path_and_flask_respond_with_the_same_headers(more, app_with) -> None:
    api = app_with(DASHBOARD_TRUSTED_PROXIES="1")
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    path = f"/agents/{agent_id}/progress"

    flask, fast = (
        api.agent(agent_id).post(path, report(protocol_id, "scan", n), **more, **way)
        for n, way in enumerate([THROUGH_FLASK, {}])
    )

    assert (flask.status, fast.status) == (202, 202)
    assert {name: value for name, value in flask.headers.items() if name not in OWN} == {
        name: value for name, value in fast.headers.items() if name not in OWN
    }


@pytest.mark.parametrize(
    ("limits", "nearest"), [({"ADDRESS": "100"}, "address"), ({"TOKEN": "100"}, "token")], ids=["address", "token"]
)
def test_fast_path_and_flask_report_the_smaller_budget(limits, nearest, app_with) -> None:
    api = app_with(**{f"DASHBOARD_REST_PER_{name}": value for name, value in limits.items()})
    protocol_id, agent_id = make_protocol(api), make_agent(api)

    for way in (THROUGH_FLASK, {}):
        answer = api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, "scan", 1), **way)
        assert answer.headers["ratelimit"].startswith(f'"{nearest}";r='), way


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (400, lambda body: body.replace(b"scan", b"a\xff")),
        (422, lambda body: body.replace(b"1}", b'1,"estimatedCompletion":"0001-01-01T00:00:00+14:00"}')),
        (422, lambda body: body.replace(b"1}", b'1,"estimatedCompletion":"9999-12-31T23:59:59-14:00"}')),
        (202, lambda body: body.replace(b"1}", b'1,"estimatedCompletion":"2026-11-22t20:30:00z"}')),
    ],
    ids=["not UTF-8", "before the calendar", "after the calendar", "small letters"],
)
@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
@pytest.mark.parametrize("way", [THROUGH_FLASK, {}], ids=["Flask", "fast path"])
def test_fast_path_and_flask_judge_unusual_reports_alike(status, change, batch, way, api: Api) -> None:
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    path = f"/agents/{agent_id}/progress"
    api.admin.post(path, report(protocol_id, "scan", 1)).expect(202)
    body = change(json.dumps(({"agentId": agent_id} if batch else {}) | report(protocol_id, "scan", 1)).encode())

    answer = api.admin.post("/progress" if batch else path, b'{"updates":[%s]}' % body if batch else body, **way)

    if batch and status == 422:
        assert [list(each["errors"]) for each in answer.expect(202)["rejected"]] == [["estimatedCompletion"]]
    else:
        assert answer.status == status, answer
