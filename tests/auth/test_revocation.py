"""Revoked tokens: refused at once here, within seconds everywhere, and their open sockets end."""

import time

import pytest
from sqlalchemy import delete

from app.auth import revocation
from app.auth.revocation import RevokedToken
from app.core.database import transaction
from tests.factories import make_protocol
from tests.support.api import Api
from tests.support.js_client import JsClient, RefusedError
from tests.support.processes import until
from tests.support.stack import Stack


def test_a_revoked_token_is_refused_and_other_tokens_of_its_subject_are_accepted(api: Api) -> None:
    lost, other = api.as_("viewer", jti="lost"), api.as_("viewer", jti="kept")
    assert lost.get("/protocols").status == 200

    api.admin.post("/tokens/revoke", {"jti": "lost", "reason": "laptop stolen"}).expect(201)

    assert lost.get("/protocols").status == 401
    assert lost.get("/protocols").code == "TOKEN_REVOKED"
    assert other.get("/protocols").status == 200


def test_revoking_a_subject_refuses_all_its_tokens_and_no_others(api: Api) -> None:
    before = [api.as_("viewer", sub="carol") for _ in range(2)]
    api.admin.post("/tokens/revoke", {"subject": "carol", "reason": "left"}).expect(201)
    assert [caller.get("/protocols").status for caller in before] == [401, 401]
    assert api.as_("viewer", sub="dave").get("/protocols").status == 200


def test_a_token_issued_by_a_clock_that_is_ahead_is_revoked_with_its_subject(api: Api) -> None:
    ahead = api.as_("viewer", sub="carol", iat=int(time.time()) + 4)
    assert ahead.get("/protocols").status == 200

    api.admin.post("/tokens/revoke", {"subject": "carol", "reason": "left"}).expect(201)

    assert ahead.get("/protocols").code == "TOKEN_REVOKED"


def test_tokens_issued_after_a_revocation_and_the_leeway_are_accepted(app_with) -> None:
    api = app_with(DASHBOARD_TOKEN_LEEWAY="1")
    api.admin.post("/tokens/revoke", {"subject": "carol", "reason": "left"}).expect(201)
    revoked_at = int(time.time())

    assert api.as_("viewer", sub="carol").get("/protocols").code == "TOKEN_REVOKED"
    until(lambda: time.time() > revoked_at + 2, 5, "the leeway is over")
    assert api.as_("viewer", sub="carol").get("/protocols").status == 200


def test_another_process_applies_a_revocation(app_with) -> None:
    here, there = app_with(), app_with()
    token = here.token("viewer", jti="shared")
    assert there.with_token(token).get("/protocols").status == 200

    here.admin.post("/tokens/revoke", {"jti": "shared", "reason": "leaked"}).expect(201)
    there.transport.client.application.extensions["revocations"]._refreshed_at = float("-inf")  # a second passes

    assert there.with_token(token).get("/protocols").status == 401


def test_a_revocation_is_read_from_the_database_after_a_restart_with_an_empty_redis(
    app_with, redis_url: str, valkey
) -> None:
    first = app_with()
    token = first.token("viewer", jti="old")
    first.admin.post("/tokens/revoke", {"jti": "old", "reason": "leaked"}).expect(201)
    first.transport.client.application.extensions["redis"].flushdb()

    assert app_with().with_token(token).get("/protocols").status == 401


def test_a_process_reads_only_new_revocations_and_all_of_them_after_a_database_restore(app_with, monkeypatch) -> None:
    api = app_with()
    app = api.transport.client.application
    known = app.extensions["revocations"]
    monkeypatch.setattr(revocation, "PAGE_ROWS", 2)
    monkeypatch.setattr(revocation, "OVERLAP_ROWS", 1)
    pages = []
    read = revocation._read_page
    monkeypatch.setattr(revocation, "_read_page", lambda after: pages.append(after) or read(after))
    for number in range(6):
        api.admin.post("/tokens/revoke", {"jti": f"t{number}", "reason": "r"}).expect(201)
    pages.clear()
    with app.app_context():
        known.load()
        assert pages == [5, 6]
        with transaction() as session:
            session.execute(delete(RevokedToken).where(RevokedToken.id > 3))
        pages.clear()
        known.load()
    assert pages[0] == 0
    assert api.as_("viewer", jti="t5").get("/protocols").code == "TOKEN_REVOKED"


@pytest.mark.parametrize("body", [{}, {"jti": "a"}, {"reason": "r"}, {"jti": "a", "subject": "b", "reason": "r"}])
def test_a_revocation_names_either_a_token_or_a_subject_and_its_reason(body: dict, api: Api) -> None:
    assert api.admin.post("/tokens/revoke", body).status == 422


def test_only_admins_revoke_and_each_revocation_is_listed_and_audited(api: Api) -> None:
    refused = {api.as_(role).post("/tokens/revoke", {"jti": "x", "reason": "r"}).status for role in ("owner", "agent")}
    api.admin.post("/tokens/revoke", {"jti": "x", "reason": "r"}).expect(201)

    listed = api.admin.get("/tokens/revoked").expect(200)["items"]
    audited = api.admin.get("/audit?action=TOKEN_REVOKED").expect(200)["items"]

    assert refused == {403}
    assert [(each["jti"], each["reason"]) for each in listed] == [("x", "r")]
    assert [each["targetId"] for each in audited] == ["x"]


def test_the_socket_of_a_revoked_token_is_closed_within_five_seconds(stack: Stack, js: JsClient) -> None:
    protocol_id = make_protocol(stack.api)
    auth = {"token": stack.api.token("viewer", jti=f"gone-{protocol_id}"), "protocolId": protocol_id}
    socket, neighbour = js.connect(stack.url, auth), stack.watch(js, protocol_id)

    revoked_at = time.time()
    stack.api.admin.post("/tokens/revoke", {"jti": f"gone-{protocol_id}", "reason": "test"}).expect(201)

    end = socket.wait_for(lambda event: event.name == "$disconnect", 5, "the socket ends")
    assert socket.events("session:revoked")[0].payload == {"code": "TOKEN_REVOKED"}
    assert end.at - revoked_at < 5
    with pytest.raises(RefusedError) as refused:
        js.connect(stack.url, auth)
    assert refused.value.message == "UNAUTHORIZED"
    neighbour.leave()


def test_renewing_a_token_keeps_the_socket_and_leaves_a_room_that_it_no_longer_grants(
    stack: Stack, js: JsClient
) -> None:
    protocol_id = make_protocol(stack.api)
    socket = stack.watch(js, protocol_id)

    same = socket.emit("session:renew", {"token": stack.api.token("viewer", protocols=[protocol_id])})
    less = socket.emit("session:renew", {"token": stack.api.token("viewer", protocols=["other"])})
    again = socket.emit("protocol:join", {"protocolId": protocol_id})
    foreign = socket.emit("session:renew", {"token": stack.api.token("viewer", sub="somebody else")})

    assert same == {"ok": True, "protocolId": protocol_id}
    assert less == {"ok": True, "protocolId": None}
    assert again["error"]["code"] == "INVALID_PROTOCOL"
    assert foreign["error"]["code"] == "FORBIDDEN"
