"""Every API route enforces the permission table for each role."""

import inspect

import pytest
from flask import Flask

from app.auth.permissions import Role, allows
from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")


def routes(app: Flask) -> list[tuple[str, str, object]]:
    """(method, path, required action) of every route under /api."""
    found = []
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            action = getattr(inspect.unwrap(app.view_functions[rule.endpoint]), "required_action", None)
            view = app.view_functions[rule.endpoint]
            action = action or getattr(view, "required_action", None)
            path = "/".join("nothing" if part.startswith("<") else part for part in rule.rule.split("/"))
            found += [(method, path.removeprefix("/api/v1"), action) for method in rule.methods - {"HEAD", "OPTIONS"}]
    return found


def test_every_route_declares_its_required_action(app: Flask) -> None:
    assert len(routes(app)) > 25
    assert [route for route in routes(app) if route[2] is None] == []


@pytest.mark.parametrize("role", list(Role))
def test_every_route_admits_exactly_the_roles_of_the_permission_table(role: Role, app: Flask, api: Api) -> None:
    caller = api.as_(role, sub="nothing")
    for method, path, action in routes(app):
        response = caller.call(method, path, {} if method == "POST" else None)
        assert (response.status == 403) == (not allows(role, action)), (method, path, role, response)


def test_every_route_rejects_a_request_without_a_token(app: Flask, api: Api) -> None:
    statuses = {(method, path): api.with_token(None).call(method, path).status for method, path, _ in routes(app)}

    assert set(statuses.values()) == {401}, statuses
