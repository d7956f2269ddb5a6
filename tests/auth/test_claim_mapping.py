"""Tokens shaped as Keycloak, Auth0 and Supabase make them: what they permit, and why one is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.auth import keys
from app.auth.permissions import Role
from app.auth.tokens import Principal, TokenVerifier
from app.config import load_config
from app.config.claims import ROLES
from app.core.errors import Unauthorized
from tests.factories import make_protocol
from tests.support.api import Api
from tests.support.event_stream import StreamReader
from tests.support.identity_provider import NAMESPACE, PROVIDERS, IdentityProvider
from tests.support.js_client import JsClient, RefusedError
from tests.support.stack import StackMaker


@pytest.fixture(scope="module", params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Iterator[IdentityProvider]:
    with IdentityProvider(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def keycloak() -> Iterator[IdentityProvider]:
    with IdentityProvider("keycloak") as running:
        yield running


def verifier(provider: IdentityProvider, tmp_path: Path, **changes: str) -> TokenVerifier:
    own = {"DASHBOARD_HOME": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"}
    return TokenVerifier(load_config(own | provider.settings | changes))


def verified(provider: IdentityProvider, tmp_path: Path, token: str, **changes: str) -> Principal:
    return verifier(provider, tmp_path, **changes).verify(token)


def refusal(provider: IdentityProvider, tmp_path: Path, token: str, **changes: str) -> str:
    with pytest.raises(Unauthorized) as refused:
        verified(provider, tmp_path, token, **changes)
    return refused.value.detail


@pytest.mark.parametrize("role", list(Role))
def test_a_token_of_each_role_is_mapped_to_ours(provider: IdentityProvider, tmp_path: Path, role: Role) -> None:
    claims = provider.claims(f"dashboard-{role}", ["P1", "P2"])
    found = verified(provider, tmp_path, provider.token(f"dashboard-{role}", ["P1", "P2"], sub=claims["sub"]))

    assert (found.subject, found.role, found.protocols) == (claims["sub"], role, {"P1", "P2"})


def test_a_token_for_another_audience_or_issuer_or_without_a_time_is_refused_with_the_reason(
    provider: IdentityProvider, tmp_path: Path
) -> None:
    cases = {
        "another audience": {"aud": "https://other.example"},
        "lacks the claim `aud`": {"aud": None},
        "another issuer": {"iss": f"{provider.issuer}x"},
        "lacks the claim `iss`": {"iss": None},
        "lacks the claim `exp`": {"exp": None},
        "lacks the claim `iat`": {"iat": None},
        "lacks the claim `": {"sub": None},
        "has expired": {"exp": provider.claims()["iat"] - 60},
    }

    refused = {wanted: refusal(provider, tmp_path, provider.token(**change)) for wanted, change in cases.items()}

    assert [wanted for wanted, detail in refused.items() if wanted not in detail] == [], refused


def test_a_token_of_a_rotated_key_is_accepted_and_one_of_a_withdrawn_key_is_not(
    provider: IdentityProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.0)
    checks = verifier(provider, tmp_path)
    old = provider.token()
    assert checks.verify(old)

    provider.rotate("second")
    assert checks.verify(provider.token()).role is Role.OWNER
    provider.rotate("third")
    assert checks.verify(provider.token()).role is Role.OWNER

    assert refusal(provider, tmp_path, old) == "The token is not valid."


def test_a_claim_that_is_missing_or_unsuitable_is_named(provider: IdentityProvider, tmp_path: Path) -> None:
    role_claim = provider.settings["DASHBOARD_TOKEN_ROLE_CLAIM"]
    token_id = provider.settings.get("DASHBOARD_TOKEN_ID_CLAIM", "jti")

    assert f"`{role_claim}` holds none of the roles: dashboard-viewer" in refusal(
        provider, tmp_path, provider.token("owner")
    )
    assert f"lacks the claim `{token_id}`" in refusal(provider, tmp_path, provider.token(**{token_id: None}))
    assert f"`{role_claim}` must be a string or a list of strings" in refusal(
        provider, tmp_path, provider.token([{"name": "dashboard-owner"}])
    )
    holder = role_claim if "://" in role_claim else role_claim.split(".")[0]
    for broken in (None, "text", 5, []):
        detail = refusal(provider, tmp_path, provider.token(**{holder: broken}))
        assert role_claim in detail, detail


@pytest.mark.parametrize(
    ("held", "role"),
    [
        (["viewer", "owner"], Role.OWNER),
        (["admin", "agent", "viewer"], Role.ADMIN),
        (["agent", "viewer"], Role.AGENT),
        (["owner", "owner"], Role.OWNER),
        (["owner", "validator"], None),
        (["agent", "owner", "viewer"], None),
        (["agent", "validator"], None),
    ],
)
def test_of_several_roles_the_one_that_includes_the_others_counts_and_otherwise_the_token_is_refused(
    provider: IdentityProvider, tmp_path: Path, held: list[str], role: Role | None
) -> None:
    token = provider.token([f"dashboard-{each}" for each in held])
    if role:
        assert verified(provider, tmp_path, token).role is role
    else:
        assert "no role that includes all of them" in refusal(provider, tmp_path, token)


def test_a_default_role_and_default_protocols_serve_tokens_that_name_none(
    keycloak: IdentityProvider, tmp_path: Path
) -> None:
    defaults = {"DASHBOARD_TOKEN_DEFAULT_ROLE": "viewer", "DASHBOARD_TOKEN_DEFAULT_PROTOCOLS": "P7, P8"}

    def found(**changes: Any) -> Principal:
        return verified(keycloak, tmp_path, keycloak.token("unrelated", **changes), **defaults)

    assert (found(groups=None).role, found(groups=None).protocols) == (Role.VIEWER, {"P7", "P8"})
    assert found(realm_access=None).role is Role.VIEWER
    assert found(groups=["/staff"]).protocols == frozenset(), "a claim that grants nothing is not one that is absent"
    assert verified(keycloak, tmp_path, keycloak.token(), **defaults).role is Role.OWNER
    assert "must be a string or a list" in refusal(
        keycloak, tmp_path, keycloak.token(realm_access={"roles": {"a": 1}}), **defaults
    )


def test_names_that_the_mapping_does_not_list_count_for_nothing(keycloak: IdentityProvider, tmp_path: Path) -> None:
    token = keycloak.token(["admin", "Dashboard-Admin", "dashboard-admin ", "dashboard-viewer"])

    assert verified(keycloak, tmp_path, token).role is Role.VIEWER


def test_without_a_mapping_of_names_ours_are_expected(keycloak: IdentityProvider, tmp_path: Path) -> None:
    assert verified(keycloak, tmp_path, keycloak.token("validator"), DASHBOARD_TOKEN_ROLES="").role is Role.VALIDATOR


def test_a_claim_of_any_name_can_be_reached_and_alternatives_are_tried_in_order(
    keycloak: IdentityProvider, tmp_path: Path
) -> None:
    odd = {f"{NAMESPACE}/claims": {"a.b": {"role/s": "dashboard-validator"}}}
    paths = {"DASHBOARD_TOKEN_ROLE_CLAIM": "nowhere, /https:~1~1dashboard.example~1claims/a.b/role~1s, role"}

    assert verified(keycloak, tmp_path, keycloak.token(**odd), **paths).role is Role.VALIDATOR


def test_an_agent_of_auth0_has_its_id_and_a_person_their_subject(tmp_path: Path) -> None:
    with IdentityProvider("auth0") as auth0:
        machine = {"sub": "aX4KfBpS0Zq@clients", f"{NAMESPACE}/agent": "scanner-7"}

        assert verified(auth0, tmp_path, auth0.token("dashboard-agent", **machine)).subject == "scanner-7"
        assert verified(auth0, tmp_path, auth0.token()).subject == "auth0|507f1f77bcf86cd799439020"


def test_what_a_user_of_supabase_writes_gives_no_role(tmp_path: Path) -> None:
    with IdentityProvider("supabase") as supabase:
        token = supabase.token(app_metadata={"provider": "email"})

        assert "lacks the claim `app_metadata.role`" in refusal(supabase, tmp_path, token)


def test_the_configuration_knows_all_roles() -> None:
    assert set(ROLES) == {role.value for role in Role}


def test_rest_sockets_and_streams_accept_a_providers_tokens_and_refuse_them_with_the_same_reason(
    make_web: StackMaker, js: JsClient, keycloak: IdentityProvider
) -> None:
    web = make_web(**keycloak.settings)

    def as_(token: str) -> Any:
        return web.api.with_token(token)

    admin = keycloak.token("dashboard-admin")
    protocol_id = make_protocol(Admin(web.api, admin))
    good = keycloak.token("dashboard-owner", [protocol_id])
    cases = {
        keycloak.token(["dashboard-owner", "dashboard-validator"], [protocol_id]): "includes all of them",
        keycloak.token("dashboard-owner", [protocol_id], aud="account"): "another audience",
        keycloak.token("dashboard-owner", [protocol_id], realm_access=None): "lacks the claim `realm_access.roles`",
    }

    as_(good).post(f"/protocols/{protocol_id}/deposits", {"amount": "5"}).expect(201)
    watcher = js.connect(web.url, {"token": good, "protocolId": protocol_id})
    with StreamReader(web.port, protocol_id, good) as stream:
        assert stream.next().payload["pool"]["total"] == "5.00"
    for token, reason in cases.items():
        over_rest = as_(token).get(f"/protocols/{protocol_id}")
        assert (over_rest.status, over_rest.code) == (401, "UNAUTHORIZED")
        assert reason in over_rest.json["detail"]
        with pytest.raises(RefusedError) as refused:
            js.connect(web.url, {"token": token, "protocolId": protocol_id})
        assert reason in str(refused.value)
        with StreamReader(web.port, protocol_id, token) as stream:
            assert stream.response.status == 401
            assert reason in stream.response.read().decode()
        assert watcher.emit("session:renew", {"token": token})["ok"] is False
    assert as_(keycloak.token("dashboard-owner", ["other"])).get(f"/protocols/{protocol_id}").status == 404


class Admin(Api):
    """An API whose admin holds the provider's token."""

    def __init__(self, api: Api, token: str) -> None:
        super().__init__(api.transport, "")
        self._token = token

    def token(self, role: str, **claims: Any) -> str:
        assert role == "admin"
        return self._token
