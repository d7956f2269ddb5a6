"""Ten thousand malformed requests, half on each database, are rejected and never crash the server."""

import logging
from collections import Counter
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from werkzeug.datastructures import Headers

from tests.factories import deposit, file_vulnerability, make_agent, make_protocol
from tests.security.fuzz_values import STRINGS, TYPES, Generator
from tests.support.api import Api
from tests.support.seeds import SEED

REQUESTS = 5_000
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]


@pytest.fixture
def api(app_with) -> Api:
    return app_with(DASHBOARD_REST_PER_TOKEN="1000000", DASHBOARD_REST_PER_ADDRESS="1000000")


@pytest.fixture
def templates(api: Api) -> dict[str, list]:
    """Valid bodies and existing ids."""
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    deposit(api, protocol_id, "1000000")
    vulnerability_id = file_vulnerability(api, protocol_id, bounty="5.00")["id"]
    report = {"protocolId": protocol_id, "task": "t", "progress": 5}
    bodies = {
        "/protocols": [{"name": "Lending", "currency": "USDC"}],
        "/agents": [{"name": "Scanner", "type": "PROTOCOL"}],
        "/deposits": [{"amount": "1.00"}, {"amount": "0.5", "reference": "r"}],
        "/tasks": [{"protocolId": protocol_id, "name": "task"}],
        "/agents/<string:agent_id>/progress": [
            report, report | {"status": "COMPLETED", "nextTask": "u"},
            report | {"status": "FAILED", "error": {"message": "m"}},
        ],
        "/v1/progress": [{"updates": [report | {"agentId": agent_id}]}],
        "/vulnerabilities": [{"title": "Overflow", "severity": "LOW", "bounty": "0.01"}],
        "/confirm": [{}, {"bounty": "0.01"}],
        "/reject": [{"reason": "duplicate"}],
        "/payment": [{"recipient": "0xabc", "amount": "0.01"}],
        "/revoke": [{"jti": "j", "reason": "lost"}],
    }  # fmt: skip
    return {"ids": [protocol_id, agent_id, vulnerability_id], "bodies": bodies}


def test_malformed_requests_are_rejected_without_a_server_error(api: Api, templates, caplog) -> None:
    caplog.set_level(logging.WARNING)
    app = api.transport.client.application
    generator, tokens = Generator(SEED), [api.token(role) for role in ("admin", "owner", "validator")]
    tokens += [api.token("agent", sub=templates["ids"][1]), "garbage", "a.b.c", "é" * 10]
    seen: Counter[int] = Counter()

    for number in range(REQUESTS):
        path, method, headers, body = make_request(generator, app, templates, tokens)
        response = api.transport.client.open(path, method=method, headers=headers, data=body)
        seen[response.status_code] += 1
        context = f"request {number}: {method} {path[:200]!r} {body[:200]!r} {headers}: {response.get_data()[:300]!r}"
        assert response.status_code < 500, context
        assert response.headers["X-Request-Id"], context
        if response.status_code >= 400 and path.startswith("/api/") and method != "HEAD":
            assert response.headers["Content-Type"] == "application/problem+json", context

    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert {200, 201, 202, 400, 401, 404, 405, 409, 415, 422} <= set(seen), seen


def make_request(generator: Generator, app: Flask, templates, tokens) -> tuple[str, str, Headers, bytes]:
    # A stream needs the server of `dashboard web`, and is tested with one (tests/streams).
    rules = [each for each in app.url_map.iter_rules() if each.rule.startswith("/api/") and "/events" not in each.rule]
    rule = generator.choice(rules)
    path = rule.rule
    fitting = [body for end, bodies in templates["bodies"].items() if path.endswith(end) for body in bodies]
    while "<" in path:
        start, end = path.index("<"), path.index(">") + 1
        filler = quote(generator.segment(templates["ids"]).encode("utf-8", "surrogatepass"), safe="")
        path = path[:start] + (filler or "%20") + path[end:]
    if generator.random() < 0.05:
        path += generator.choice(["/", "//", "/%ff", "/..", "/%2e%2e/", "?", "%", "/\\", ";x", "%zz"])
    elif generator.random() < 0.3:
        path += "?" + urlencode(
            {name: value.encode("utf-8", "surrogatepass") for name, value in generator.query().items()}
        )
    method = generator.choice(sorted(rule.methods - {"OPTIONS", "HEAD"}) if generator.random() < 0.9 else METHODS)
    body = generator.body(fitting or [{}]) if method != "GET" else b""
    return path, method, make_headers(generator, tokens), body


def make_headers(generator: Generator, tokens: list[str]) -> Headers:
    headers = Headers({"Content-Type": "application/json" if generator.random() < 0.85 else generator.choice(TYPES)})
    if generator.random() < 0.97:
        headers["Authorization"] = f"Bearer {generator.choice(tokens).encode().decode('latin-1')}"
    if generator.random() < 0.2:
        printable = [text for text in STRINGS if "\n" not in text and text.isascii() and len(text) < 5000]
        headers["Idempotency-Key"] = generator.choice(printable)
    if generator.random() < 0.05:
        headers["X-Request-Id"] = "x" * 5000
    return headers
