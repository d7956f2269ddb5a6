"""Tokens that admins issue by REST: valid at once, shown once, listed and revocable."""

import json
import logging

import jwt
import pytest
from sqlalchemy import inspect, text, update

from app.auth.issued_tokens import IssuedToken
from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.core.values import moment_of
from tests.factories import make_protocol, unique
from tests.support.api import Api
from tests.support.stack import Stack

pytestmark = pytest.mark.database("sqlite")

DAY = 24 * 3600


@pytest.fixture
def body(api: Api) -> dict:
    return {"sub": unique("owner"), "role": "owner", "protocols": [make_protocol(api)], "ttl": 3600}


def test_an_issued_token_works_at_once_with_exactly_its_claims(api: Api, body) -> None:
    issued = api.admin.post("/tokens", body).expect(201)

    holder = api.with_token(issued["token"])
    claims = jwt.decode(issued["token"], api.signing_key, algorithms=["HS256"])
    assert (claims["sub"], claims["role"], claims["protocols"]) == (body["sub"], "owner", body["protocols"])
    assert claims["exp"] - claims["iat"] == 3600
    assert issued["jti"] == claims["jti"]
    assert moment_of(issued["expiresAt"]).timestamp() == claims["exp"]
    assert set(issued) == {"token", "jti", "expiresAt"}
    path = f"/protocols/{body['protocols'][0]}"
    assert holder.post(f"{path}/deposits", {"amount": "1"}).status == 201
    assert holder.get(f"/protocols/{make_protocol(api)}").status == 404
    assert holder.post("/tokens", body).status == 403


def test_an_issued_token_joins_a_room_and_its_revocation_ends_it(stack: Stack, js) -> None:
    api, protocol_id = stack.api, make_protocol(stack.api)
    body = {"sub": unique("viewer"), "role": "viewer", "protocols": [protocol_id], "ttl": 600}
    issued = api.admin.post("/tokens", body).expect(201)

    js.connect(stack.url, {"token": issued["token"], "protocolId": protocol_id})
    api.admin.post("/tokens/revoke", {"jti": issued["jti"], "reason": "lost"}).expect(201)

    assert api.with_token(issued["token"]).get("/protocols").code == "TOKEN_REVOKED"


def test_the_list_is_newest_first_paged_by_subject_and_says_what_was_revoked(api: Api, body) -> None:
    issued = [api.admin.post("/tokens", body | {"ttl": 60 + at}).expect(201) for at in range(3)]
    other = api.as_("admin", sub="admin-2").post("/tokens", body | {"sub": "someone else"}).expect(201)
    api.admin.post("/tokens/revoke", {"jti": issued[1]["jti"], "reason": "lost"}).expect(201)

    first = api.admin.get(f"/tokens?sub={body['sub']}&limit=2").expect(200)
    rest = api.admin.get(f"/tokens?sub={body['sub']}&limit=2&cursor={first['nextCursor']}").expect(200)

    items = first["items"] + rest["items"]
    assert [each["jti"] for each in items] == [each["jti"] for each in reversed(issued)]
    assert [each["revoked"] for each in items] == [False, True, False]
    assert rest["nextCursor"] is None
    newest = api.admin.get("/tokens").expect(200)["items"][0]
    assert newest == {
        "jti": other["jti"], "sub": "someone else", "role": "owner", "protocols": body["protocols"],
        "issuedAt": newest["issuedAt"], "expiresAt": other["expiresAt"], "issuedBy": "admin-2", "revoked": False,
    }  # fmt: skip
    api.admin.post("/tokens/revoke", {"subject": body["sub"], "reason": "left"}).expect(201)
    assert all(each["revoked"] for each in api.admin.get(f"/tokens?sub={body['sub']}").expect(200)["items"])
    again = api.admin.post("/tokens", body)
    assert (again.status, again.code) == (409, "CONFLICT"), "would be refused as revoked"


def test_the_token_is_in_no_table_and_no_log(api: Api, body, in_context, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    token = api.admin.post("/tokens", body, Idempotency_Key="k").expect(201)["token"]

    for table in inspect(db.engine).get_table_names():
        rows = db.session.execute(text(f'SELECT * FROM "{table}"')).all()
        assert not any(token in str(row) or token.split(".")[2] in str(row) for row in rows), table
    assert token not in caplog.text
    (entry,) = api.admin.get("/audit?action=TOKEN_ISSUED").expect(200)["items"]
    assert entry["subject"] == "admin-1"
    assert entry["after"]["sub"] == body["sub"]
    assert (entry["after"]["role"], entry["after"]["protocols"]) == ("owner", body["protocols"])
    assert token not in json.dumps(entry)


INVALID = [
    ({"sub": ""}, "sub"),
    ({"sub": "a\nb"}, "sub"),
    ({"sub": "x" * 129}, "sub"),
    ({"sub": "a b", "role": "agent"}, "sub"),
    ({"sub": "System"}, "sub"),
    ({"role": "root"}, "role"),
    ({"role": None}, "role"),
    ({"protocols": "*"}, "protocols"),
    ({"protocols": []}, "protocols"),
    ({"protocols": ["never-made"]}, "protocols"),
    ({"protocols": ["-bad"]}, "protocols.0"),
    ({"protocols": ["*"] * 1001}, "protocols"),
    ({"ttl": 0}, "ttl"),
    ({"ttl": -5}, "ttl"),
    ({"ttl": 400 * DAY + 1}, "ttl"),
    ({"ttl": "60"}, "ttl"),
    ({"ttl": 1.5}, "ttl"),
    ({"exp": 99}, "exp"),
]


def test_each_invalid_claim_is_named(api: Api, body) -> None:
    for change, field in INVALID:
        answer = api.admin.post("/tokens", body | change)
        assert (answer.status, list(answer.json["errors"])) == (422, [field]), (change, answer)
    for missing in body:
        answer = api.admin.post("/tokens", {name: each for name, each in body.items() if name != missing})
        assert missing in answer.json["errors"]
    assert api.admin.get("/tokens").expect(200)["items"] == []


def test_the_longest_life_an_agent_and_an_admin_without_protocols_are_accepted(api: Api, body) -> None:
    longest = api.admin.post("/tokens", body | {"ttl": 400 * DAY}).expect(201)
    agent = api.admin.post("/tokens", body | {"sub": "scanner-7", "role": "agent", "protocols": ["*"]}).expect(201)
    admin = api.admin.post("/tokens", body | {"role": "admin", "protocols": []}).expect(201)

    for issued in (longest, agent, admin):
        assert api.with_token(issued["token"]).get("/protocols").status == 200
    assert api.with_token(admin["token"]).get("/audit").status == 200


def test_more_protocols_than_a_token_can_carry_are_refused(api: Api, body) -> None:
    many = [make_protocol(api, id=f"{unique('P')}-{'x' * 50}") for _ in range(110)]

    assert "protocols" in api.admin.post("/tokens", body | {"protocols": many}).json["errors"]


def test_where_an_identity_provider_signs_the_tokens_none_is_issued(app_with, body) -> None:
    issuing = app_with()
    admin_token = issuing.token("admin")
    api = app_with(DASHBOARD_JWKS_URL="http://127.0.0.1:1/jwks.json")
    verifier = api.transport.client.application.extensions["token_verifier"]
    verifier._cache[admin_token] = issuing.transport.client.application.extensions["token_verifier"].verify(admin_token)

    answer = api.with_token(admin_token).post("/tokens", body)

    assert (answer.status, answer.code) == (409, "TOKENS_ISSUED_ELSEWHERE")


def test_a_row_goes_a_day_after_its_token_expired(api: Api, body, in_context) -> None:
    from datetime import timedelta

    from tasks import forget

    issued = [api.admin.post("/tokens", body).expect(201)["jti"] for _ in range(2)]
    with transaction() as session:
        for jti, hours in zip(issued, (25, 23), strict=True):
            expired = utc_now() - timedelta(hours=hours)
            session.execute(update(IssuedToken).where(IssuedToken.token_id == jti).values(expires_at=expired))

    forget()

    assert [each["jti"] for each in api.admin.get("/tokens").expect(200)["items"]] == issued[1:]
