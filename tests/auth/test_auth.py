"""The contract's table of roles, and which tokens are refused."""

import base64
import json
import secrets
import time

import jwt
import pytest

from tests.factories import make_agent, make_protocol, report, unique
from tests.support.api import Api, mint
from tests.support.machine_speed import slowdown
from tests.support.processes import until

pytestmark = pytest.mark.database("sqlite")  # permissions do not depend on the database

ROLES = ["agent", "viewer", "validator", "owner", "admin"]
EVERYONE = set(ROLES)
WHO_MAY = [
    ("POST", "/protocols", {"name": "Lending"}, {"admin"}),
    ("GET", "/protocols", None, EVERYONE),
    ("GET", "/protocols/{P}", None, EVERYONE),
    ("GET", "/protocols/{P}/state", None, EVERYONE),
    ("POST", "/protocols/{P}/stream-tickets", None, EVERYONE),
    ("GET", "/protocols/{P}/pool", None, EVERYONE),
    ("GET", "/protocols/{P}/pool/entries", None, EVERYONE),
    ("POST", "/protocols/{P}/deposits", {"amount": "1"}, {"owner", "admin"}),
    ("POST", "/agents", {"name": "Scanner", "type": "PROTOCOL"}, {"admin"}),
    ("GET", "/agents", None, EVERYONE),
    ("GET", "/agents/{A}", None, EVERYONE),
    ("POST", "/agents/{A}/tasks", {"protocolId": "{P}", "name": "fuzzing"}, {"admin", "agent"}),
    ("GET", "/agents/{A}/tasks", None, EVERYONE),
    ("POST", "/agents/{A}/progress", {"protocolId": "{P}", "task": "t", "progress": 1}, {"admin", "agent"}),
    ("POST", "/progress", {"updates": [{"agentId": "{A}"}]}, {"admin", "agent"}),
    (
        "POST",
        "/protocols/{P}/vulnerabilities",
        {"title": "Overflow", "severity": "LOW"},
        {"agent", "validator", "admin"},
    ),
    ("GET", "/protocols/{P}/vulnerabilities", None, EVERYONE),
    ("GET", "/vulnerabilities/none", None, EVERYONE),
    ("POST", "/vulnerabilities/none/confirm", {}, {"validator", "admin"}),
    ("POST", "/vulnerabilities/none/reject", {"reason": "duplicate"}, {"validator", "admin"}),
    ("POST", "/vulnerabilities/none/payment", {"recipient": "0xabc"}, {"owner", "admin"}),
    ("GET", "/payments/none", None, EVERYONE),
    ("GET", "/protocols/{P}/payments", None, EVERYONE),
    ("POST", "/payments/none/retry", None, {"owner", "admin"}),
    ("GET", "/stats", None, EVERYONE),
    ("GET", "/overview", None, EVERYONE),
    ("GET", "/vulnerabilities/none/history", None, EVERYONE),
    ("POST", "/protocols/{P}/webhooks", {"url": "https://hooks.example/", "eventTypes": ["*"]}, {"owner", "admin"}),
    ("GET", "/protocols/{P}/webhooks", None, {"owner", "admin"}),
    ("GET", "/webhooks/none", None, {"owner", "admin"}),
    ("DELETE", "/webhooks/none", None, {"owner", "admin"}),
    ("POST", "/webhooks/none/rotate-secret", None, {"owner", "admin"}),
    ("POST", "/webhooks/none/test", None, {"owner", "admin"}),
    ("POST", "/webhooks/none/enable", None, {"owner", "admin"}),
    ("POST", "/webhooks/none/disable", None, {"owner", "admin"}),
    ("GET", "/webhooks/none/deliveries", None, {"owner", "admin"}),
    ("POST", "/webhook-deliveries/none/redeliver", None, {"owner", "admin"}),
    ("POST", "/tokens", {"sub": "o", "role": "owner", "protocols": ["{P}"], "ttl": 60}, {"admin"}),
    ("GET", "/tokens", None, {"admin"}),
]


@pytest.fixture
def places(api: Api) -> dict[str, str]:
    return {"P": make_protocol(api), "A": make_agent(api)}


def fill(value: object, places: dict[str, str]) -> object:
    text = json.dumps(value)
    for name, found in places.items():
        text = text.replace("{" + name + "}", found)
    return json.loads(text)


@pytest.mark.parametrize(("method", "path", "body", "allowed"), WHO_MAY, ids=[f"{m} {p}" for m, p, _, _ in WHO_MAY])
def test_exactly_the_roles_of_the_contract_may_call(method, path, body, allowed, *, api: Api, places) -> None:
    path, body = fill([path, body], places)

    answers = {role: api.as_(role, sub=places["A"]).call(method, path, body) for role in ROLES}

    refused = {role for role, answer in answers.items() if answer.status == 403}
    assert refused == EVERYONE - allowed
    assert all(answer.status < 500 and answer.status not in (401, 405) for answer in answers.values()), answers
    assert api.with_token(None).call(method, path, body).status == 401


@pytest.mark.parametrize(("method", "path", "body", "_allowed"), [row for row in WHO_MAY if "{P}" in row[1]])
def test_a_protocol_that_is_not_granted_does_not_exist(method, path, body, _allowed, *, api: Api, places) -> None:
    path, body = fill([path, body], places)
    outsider = api.as_("agent" if "vulnerabilities" in path else "owner", sub=places["A"], protocols=["other"])

    hidden = outsider.call(method, path, body)
    missing = outsider.call(method, path.replace(places["P"], "never-made"), body)

    assert (hidden.status, missing.status) == (404, 404)
    assert hidden.code == missing.code
    assert hidden.json["detail"].replace(places["P"], "never-made") == missing.json["detail"]


def test_a_star_grants_every_protocol_and_an_empty_list_grants_none(api: Api) -> None:
    protocol_id = make_protocol(api)

    assert api.as_("viewer", protocols=["*"]).get(f"/protocols/{protocol_id}").status == 200
    assert api.as_("viewer", protocols=[]).get(f"/protocols/{protocol_id}").status == 404
    assert api.as_("viewer", protocols=[]).get("/protocols").expect(200)["items"] == []


def test_an_agent_reports_as_itself_only(api: Api, places) -> None:
    other = make_agent(api)

    own = api.agent(places["A"]).post(f"/agents/{places['A']}/progress", report(places["P"]))
    foreign = api.agent(other).post(f"/agents/{places['A']}/progress", report(places["P"]))
    queued = api.agent(other).post(f"/agents/{places['A']}/tasks", {"protocolId": places["P"], "name": "t"})

    assert (own.status, foreign.status, queued.status) == (202, 403, 403)


def altered(api: Api, algorithm: str = "HS256", **changes: object) -> str:
    """An admin's token with other claims, rightly signed; a claim of None is left out."""
    claims = jwt.decode(api.token("admin"), options={"verify_signature": False}) | changes
    left = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(left, api.signing_key, algorithm=algorithm)


def unsigned(api: Api) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{api.token('admin').split('.')[1]}."


WRONG_KEY = "0123456789abcdef0123456789abcdef-wrong"
BAD_TOKENS = {
    "garbage": lambda api: "garbage",
    "three empty parts": lambda api: "..",
    "signed by another key": lambda api: mint(WRONG_KEY, "admin"),
    "not signed": unsigned,
    "another algorithm": lambda api: altered(api, algorithm="HS512"),
    "tampered": lambda api: api.token("admin")[:-6] + "AAAAAA",
    "expired": lambda api: altered(api, exp=int(time.time()) - 60),
    "issued in the future": lambda api: altered(api, iat=int(time.time()) + 600),
    "unknown role": lambda api: altered(api, role="root"),
    "role is a list": lambda api: altered(api, role=["admin"]),
    "protocols is a string": lambda api: altered(api, role="viewer", protocols="*"),
    "protocols holds a number": lambda api: altered(api, role="viewer", protocols=[1]),
    "subject is a number": lambda api: altered(api, sub=7),
    "nothing of the subject is visible": lambda api: altered(api, sub=" \u3164"),
    "huge": lambda api: altered(api, protocols=["P" * 60] * 900),
} | {
    f"without {claim}": lambda api, claim=claim: altered(api, **{claim: None})
    for claim in ("sub", "role", "protocols", "exp", "iat", "jti")
}


@pytest.mark.parametrize("fault", BAD_TOKENS)
def test_an_invalid_token_gets_401(fault: str, api: Api) -> None:
    answer = api.with_token(BAD_TOKENS[fault](api)).get("/protocols")

    assert answer.status == 401
    assert answer.code in {"UNAUTHORIZED", "TOKEN_EXPIRED"}
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token abc", "Bearer a b"])
def test_a_header_that_is_no_bearer_token_gets_401(header: str, api: Api) -> None:
    assert api.with_token(None).get("/protocols", Authorization=header).status == 401


def test_a_valid_token_under_another_scheme_gets_401(api: Api, environment: dict[str, str]) -> None:
    token = mint(environment["DASHBOARD_SIGNING_KEY"], "viewer")

    for scheme, status in (("bearer", 200), ("Basic", 401), ("Token", 401)):
        assert api.with_token(None).get("/protocols", Authorization=f"{scheme} {token}").status == status


def test_after_a_key_rotation_tokens_of_the_previous_key_are_accepted(app_with, environment) -> None:
    old = environment["DASHBOARD_SIGNING_KEY"]
    api = app_with(DASHBOARD_SIGNING_KEY=secrets.token_hex(32), DASHBOARD_PREVIOUS_SIGNING_KEY=old)

    assert api.with_token(mint(old, "viewer")).get("/protocols").status == 200
    assert api.viewer.get("/protocols").status == 200
    assert api.with_token(mint(WRONG_KEY, "viewer")).get("/protocols").status == 401


def test_an_expired_token_is_refused_though_it_was_accepted_before(app_with) -> None:
    api = app_with(DASHBOARD_TOKEN_LEEWAY="0")
    expires = time.time() + 1.2 * slowdown()
    caller = api.as_("viewer", exp=expires)
    assert caller.get("/protocols").status == 200

    until(lambda: time.time() > expires, 10, "the token has expired")

    assert caller.get("/protocols").status == 401


def test_a_token_for_another_audience_or_issuer_is_refused_when_they_are_configured(app_with) -> None:
    api = app_with(DASHBOARD_TOKEN_AUDIENCE="dashboard", DASHBOARD_TOKEN_ISSUER="https://id.example")
    right = {"aud": "dashboard", "iss": "https://id.example"}

    assert api.as_("viewer", **right).get("/protocols").status == 200
    assert api.as_("viewer", **right | {"aud": "other"}).get("/protocols").status == 401
    assert api.as_("viewer", **right | {"iss": "https://other.example"}).get("/protocols").status == 401
    assert api.as_("viewer").get("/protocols").status == 401


def test_an_admin_without_protocols_is_granted_all(api: Api) -> None:
    protocol_id = make_protocol(api, id=unique("P"))
    assert api.as_("admin", protocols=[]).get(f"/protocols/{protocol_id}").status == 200
