"""Every route declares its action, and the routes are those of the contract."""

import re

import pytest
from flask import Flask
from werkzeug.routing import Rule

from app.auth.permissions import ALLOWED, Action
from app.http.responses import API_PREFIX
from tests.auth.test_auth import WHO_MAY

pytestmark = pytest.mark.database("sqlite")

OPEN_TO_ALL = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/",
}


def rules(app: Flask) -> list[Rule]:
    return list(app.url_map.iter_rules())


def test_every_api_route_declares_its_roles(app: Flask) -> None:
    silent = [
        str(rule)
        for rule in rules(app)
        if rule.rule.startswith(API_PREFIX)
        and not isinstance(getattr(app.view_functions[rule.endpoint], "required_action", None), Action)
    ]
    assert silent == []


def test_every_action_is_in_the_permission_table() -> None:
    assert set(ALLOWED) == set(Action)


def test_every_route_of_the_contract_exists(app: Flask) -> None:
    known = {(method, re.sub(r"<[^>]+>", "*", rule.rule)) for rule in rules(app) for method in rule.methods or ()}
    wanted = {
        (method, "/api/v1" + re.sub(r"\{\w\}|(?<=/)none(?=/|$)", "*", path)) for method, path, _, _ in WHO_MAY
    } | {("GET", path) for path in OPEN_TO_ALL}
    assert wanted - known == set()


def test_a_view_that_takes_a_protocol_checks_the_grant(app: Flask) -> None:
    """`@requires` looks at the argument `protocol_id`: another name would pass it by."""
    names = {name for rule in rules(app) if "/protocols/<" in rule.rule for name in rule.arguments}
    assert names == {"protocol_id"}
