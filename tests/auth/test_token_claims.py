"""Boundary values of token claims: which are accepted and which are refused."""

import base64
import hmac
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.auth import tokens
from app.auth.permissions import Role
from app.auth.tokens import Principal, TokenVerifier, issue
from app.config import Config, load_config
from app.core.errors import Unauthorized

NOW = 1_800_000_000
KEY = secrets.token_hex(32)


def settings_with(tmp_path: Path, **more: str) -> Config:
    environment = {
        "DASHBOARD_HOME": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DASHBOARD_SIGNING_KEY": KEY,
    }
    return load_config(environment | more)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`clock(NOW + 5)` turns the clock of tokens, PyJWT's included."""

    class Frozen:
        at: float = NOW

    class Moment(jwt.api_jwt.datetime):  # type: ignore[name-defined,misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(Frozen.at, tz)

    monkeypatch.setattr(tokens.time, "time", lambda: Frozen.at)
    monkeypatch.setattr(jwt.api_jwt, "datetime", Moment)

    def turn(at: float) -> None:
        Frozen.at = at

    return turn


def claims(**changes: Any) -> dict[str, Any]:
    """A viewer's claims; a change of `...` leaves the claim out."""
    good = {"sub": "v", "role": "viewer", "protocols": ["P1"], "iat": NOW, "exp": NOW + 100, "jti": "j"}
    return {name: value for name, value in (good | changes).items() if value is not ...}


def token(**changes: Any) -> str:
    return jwt.encode(claims(**changes), KEY, algorithm="HS256")


@pytest.fixture
def verify(tmp_path: Path, clock: Callable[[float], None]) -> Callable[[str], Principal]:
    """Without leeway, so that the edges are exact."""
    return TokenVerifier(settings_with(tmp_path, DASHBOARD_TOKEN_LEEWAY="0")).verify


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def is_refused(verify: Callable[[str], Principal], text: str) -> str:
    with pytest.raises(Unauthorized) as refused:
        verify(text)
    return refused.value.code


def test_a_verified_token_gives_its_claims(verify):
    assert verify(token()) == Principal("v", Role.VIEWER, frozenset({"P1"}), NOW + 100.0, "j", issued_at=float(NOW))


def test_a_token_is_refused_from_the_second_of_its_expiry(verify, clock):
    text = token()
    clock(NOW + 99)
    assert verify(text).subject == "v"
    clock(NOW + 100)
    assert is_refused(verify, text) == "TOKEN_EXPIRED"  # it was remembered
    assert is_refused(verify, token(sub="w")) == "TOKEN_EXPIRED"  # it was not


def test_the_leeway_extends_a_tokens_expiry(tmp_path, clock):
    verify = TokenVerifier(settings_with(tmp_path, DASHBOARD_TOKEN_LEEWAY="5")).verify
    text = token()
    clock(NOW + 104)
    assert verify(text).subject == "v"
    clock(NOW + 105)
    assert is_refused(verify, text) == "TOKEN_EXPIRED"
    assert is_refused(verify, token(sub="w")) == "TOKEN_EXPIRED"


def test_a_token_issued_in_the_future_is_refused_until_then(verify, clock):
    assert is_refused(verify, token(iat=NOW + 1)) == "UNAUTHORIZED"
    assert is_refused(verify, token(nbf=NOW + 1)) == "UNAUTHORIZED"
    assert verify(token(iat=NOW, nbf=NOW)).subject == "v"
    clock(NOW + 1)
    assert verify(token(iat=NOW + 1, nbf=NOW + 1)).subject == "v"


@pytest.mark.parametrize("claim", ["sub", "role", "protocols", "exp", "iat", "jti"])
@pytest.mark.parametrize("value", [..., None, True, [], {}, "", -1])
def test_a_missing_claim_or_one_of_another_type_is_refused(verify, claim, value):
    if claim == "protocols" and value == []:
        assert verify(token(protocols=[])).protocols == frozenset()
    else:
        assert is_refused(verify, token(**{claim: value})) in {"UNAUTHORIZED", "TOKEN_EXPIRED"}


@pytest.mark.parametrize(("claim", "longest"), [("sub", 128), ("jti", 255)])
def test_subject_and_token_id_have_a_maximum_length_and_are_printable(verify, claim, longest):
    for good in ("x", "x" * longest, "Zoë <z@example.org>"):
        assert verify(token(**{claim: good}))
    for bad in ("x" * (longest + 1), "a\nb", "a\x00b", "\u202eevil", 7):
        assert is_refused(verify, token(**{claim: bad})) == "UNAUTHORIZED", bad


@pytest.mark.parametrize("role", list(Role))
def test_a_token_of_each_role_is_accepted(verify, role):
    assert verify(token(role=role.value)).role is role


@pytest.mark.parametrize("role", ["root", "ADMIN", "Viewer", " admin", "admin ", ["admin"], {"admin": 1}, 1])
def test_a_token_of_an_unknown_role_is_refused(verify, role):
    assert is_refused(verify, token(role=role)) == "UNAUTHORIZED"


@pytest.mark.parametrize("protocols", ["*", "P1", {"P1": 1}, [1], ["P1", None], [["P1"]], 5])
def test_protocols_must_be_a_list_of_strings(verify, protocols):
    assert is_refused(verify, token(protocols=protocols)) == "UNAUTHORIZED"


def test_a_token_grants_a_thousand_protocols_and_no_more(verify):
    most = [f"{number}" for number in range(1000)]
    assert len(verify(token(protocols=most)).protocols) == 1000
    assert is_refused(verify, token(protocols=[*most, "P"])) == "UNAUTHORIZED"


def test_an_invalid_protocol_id_grants_nothing_and_a_star_grants_all(verify):
    assert verify(token(protocols=["P1", "no id!", ""])).protocols == frozenset({"P1"})
    seen = verify(token(protocols=["*"]))
    assert (seen.grants_all, seen.grants("anything")) == (True, True)
    one = verify(token())
    assert (one.grants_all, one.grants("P1"), one.grants("P2")) == (False, True, False)
    nobody = verify(token(protocols=[], role="admin"))
    assert nobody.grants("anything")


@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_times_must_be_numbers_of_seconds_in_range(verify, claim):
    for bad in (-1, 2**53, 2**53 + 1, 10**400, "soon", True, [NOW]):
        assert is_refused(verify, token(**{claim: bad})) in {"UNAUTHORIZED", "TOKEN_EXPIRED"}, bad
    assert is_refused(verify, token(iat=0)) == "TOKEN_EXPIRED", "no token is valid for more than 400 days"
    assert verify(token(iat=NOW - 3600)).issued_at == NOW - 3600.0
    assert verify(token(exp=2**53 - 1)).expires_at == float(2**53 - 1)
    assert verify(token(exp=NOW + 1.5, iat=NOW - 0.5)).expires_at == NOW + 1.5


def padded(length: int) -> str:
    """A good token of this length or a little more, by a header that says nothing."""
    fill = (length - len(token())) * 3 // 4 - 20
    while len(text := jwt.encode(claims(), KEY, algorithm="HS256", headers={"x": "y" * fill})) < length:
        fill += 1
    return text


def test_a_token_has_a_maximum_length_and_is_ascii(verify):
    fits = padded(8192 - 4)
    assert len(fits) <= 8192
    assert verify(fits).subject == "v"
    for bad in (padded(8192 + 1), "", ".", "..", "a.b", "é.é.é", token() + "x", "." + token()):
        assert is_refused(verify, bad) == "UNAUTHORIZED"


@pytest.mark.parametrize("kid", [None, "", "unknown", 5, ["k"]])
def test_an_unknown_key_id_is_refused(verify, kid):
    if kid is None:
        assert verify(token()).subject == "v"
    else:
        body = token().split(".")[1]
        head = base64url(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
        signature = base64url(hmac.digest(KEY.encode(), f"{head}.{body}".encode(), "sha256"))
        assert is_refused(verify, f"{head}.{body}.{signature}") == "UNAUTHORIZED"


def test_an_issued_token_is_accepted_until_the_requested_expiry(tmp_path, clock):
    settings = settings_with(
        tmp_path, DASHBOARD_TOKEN_LEEWAY="0", DASHBOARD_TOKEN_ISSUER="https://id", DASHBOARD_TOKEN_AUDIENCE="us"
    )
    verify = TokenVerifier(settings).verify
    text = issue(settings, subject="o", role=Role.OWNER, protocols=["P1"], ttl_seconds=60)
    found = verify(text)
    assert (found.subject, found.role, found.protocols) == ("o", Role.OWNER, {"P1"})
    assert (found.issued_at, found.expires_at) == (NOW, NOW + 60)
    other = verify(issue(settings, subject="o", role=Role.OWNER, protocols=["P1"], ttl_seconds=60))
    assert other.token_id != found.token_id
    read = jwt.decode(text, options={"verify_signature": False})
    assert (read["iss"], read["aud"]) == ("https://id", "us")
    assert is_refused(verify, token()) == "UNAUTHORIZED"


def test_with_an_identity_provider_no_token_is_issued_here(tmp_path):
    settings = settings_with(tmp_path, DASHBOARD_JWKS_URL="https://id.example/keys")  # the key would sign in vain
    with pytest.raises(ValueError, match="DASHBOARD_JWKS_URL"):
        issue(settings, subject="o", role=Role.OWNER, protocols=["P1"], ttl_seconds=60)
