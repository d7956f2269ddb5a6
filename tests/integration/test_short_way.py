"""A plain report of a known agent is taken without Flask; one that Redis refuses goes on to Flask, and is logged."""

import io
import json
import logging

import pytest
import redis
from flask import Flask

from app.agents.ingest import ShortWay
from tests.factories import make_agent, make_protocol, report
from tests.support.api import BASE, Api


class Onward:
    """Stands where Flask would be, and keeps what it was handed."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, environ, start_response):
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b""]


@pytest.fixture
def send(app: Flask, api: Api):
    """`send()`: a report past the short way; its status, what was sent, and what went on to Flask."""
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    path = f"/agents/{agent_id}/progress"
    api.agent(agent_id).post(path, report(protocol_id, "scan", 1)).expect(202)  # known from now on

    def post(progress: int = 2) -> tuple[str, bytes, list[bytes]]:
        body, onward, told = json.dumps(report(protocol_id, "scan", progress)).encode(), Onward(), []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": BASE + path,
            "HTTP_AUTHORIZATION": f"Bearer {api.token('admin')}",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": io.BytesIO(body),
        }
        b"".join(ShortWay(app, onward)(environ, lambda status, _headers: told.append(status)))
        return told[0], body, onward.bodies

    return post


def test_a_plain_report_never_reaches_flask(send) -> None:
    status, _, handed_on = send()

    assert status == "202 ACCEPTED"
    assert handed_on == []


def test_a_report_that_redis_refuses_goes_on_to_flask_whole_and_is_logged(send, app: Flask, caplog) -> None:
    class Refusing:
        def call(self, *_: object) -> object:
            raise redis.ResponseError("no")

    app.extensions["hotline"] = Refusing()
    with caplog.at_level(logging.WARNING, "app.agents.ingest"):
        _, body, handed_on = send()

    assert handed_on == [body]
    assert [record.message for record in caplog.records] == ["ingest.short_way_failed"]
