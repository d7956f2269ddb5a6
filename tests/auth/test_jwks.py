"""Tokens of an identity provider: its keys are fetched, kept through its outage, and not fetched for made-up ids."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from app.auth import keys
from app.auth.permissions import Role
from app.auth.tokens import issue
from tests.support.api import Api
from tests.support.machine_speed import patience

pytestmark = pytest.mark.database("sqlite")

RSA_KEY, EC_KEY = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())


def public(algorithm, key, **members: str) -> dict:
    return json.loads(algorithm.to_jwk(key.public_key())) | members


class Provider:
    """An identity provider; `document` is its key set, `status` what it answers with."""

    def __init__(self) -> None:
        self.document: bytes = b""
        self.status, self.fetches = 200, 0
        self.publish(public(RSAAlgorithm, RSA_KEY, kid="rsa", use="sig"), public(ECAlgorithm, EC_KEY, kid="ec"))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def publish(self, *entries: dict) -> None:
        self.document = json.dumps({"keys": list(entries)}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches += 1
                self.send_response(provider.status)
                self.end_headers()
                self.wfile.write(provider.document)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def api(app_with, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(keys, "FETCH_SECONDS", patience(keys.FETCH_SECONDS))
    return app_with(DASHBOARD_JWKS_URL=provider.url, DASHBOARD_SIGNING_KEY="")


def sign(key=RSA_KEY, algorithm: str = "RS256", kid: str | None = "rsa", header=None, claims=None) -> str:
    now = int(time.time())
    all_claims = {"sub": "v", "role": "viewer", "protocols": ["*"], "iat": now, "exp": now + 600, "jti": "1"}
    headers = (header or {}) | ({"kid": kid} if kid else {})
    return jwt.encode(all_claims | (claims or {}), key, algorithm=algorithm, headers=headers)


def status(api: Api, token: str) -> int:
    return api.with_token(token).get("/protocols").status


def test_tokens_of_each_published_key_are_accepted_and_the_key_set_is_fetched_once(
    api: Api, provider: Provider
) -> None:
    statuses = [status(api, sign()), status(api, sign(EC_KEY, "ES256", "ec")), status(api, sign(algorithm="PS256"))]

    assert statuses == [200, 200, 200]
    assert provider.fetches == 1


def test_a_public_key_is_never_used_as_a_shared_secret(api: Api, provider: Provider) -> None:
    provider.publish(public(RSAAlgorithm, RSA_KEY, kid="rsa"), {"kty": "oct", "kid": "weak", "k": "c2VjcmV0" * 8})
    forged = sign("secret" * 8, "HS256", "weak")

    assert status(api, forged) == 401
    assert status(api, sign("secret" * 8, "HS256", "rsa")) == 401


def test_a_key_verifies_only_the_algorithm_it_was_published_for(api: Api, provider: Provider) -> None:
    provider.publish(public(RSAAlgorithm, RSA_KEY, kid="rsa", alg="RS512"))

    assert status(api, sign(algorithm="RS256")) == 401
    assert status(api, sign(algorithm="RS512")) == 200


UNFIT = {
    "for encryption": {"use": "enc"},
    "for signing alone": {"key_ops": ["sign"]},
    "with operations that are no list": {"key_ops": "verify"},
    "for an algorithm of another type": {"alg": "ES256"},
    "for an HMAC": {"alg": "HS256"},
    "for no algorithm": {"alg": "none"},
    "for an algorithm that is no text": {"alg": ["RS256"]},
    "private": {"d": "AQAB"},
    "of an unknown type": {"kty": "PQC"},
}


@pytest.mark.parametrize("what", UNFIT)
def test_an_unsuitable_key_verifies_no_token(what: str, api: Api, provider: Provider) -> None:
    provider.publish(public(RSAAlgorithm, RSA_KEY, kid="rsa") | UNFIT[what], public(ECAlgorithm, EC_KEY, kid="ec"))

    assert status(api, sign()) == 401
    assert status(api, sign(EC_KEY, "ES256", "ec")) == 200


@pytest.mark.parametrize("order", [1, -1])
def test_keys_with_the_same_id_are_distinguished_by_their_algorithm(order: int, api: Api, provider: Provider) -> None:
    entries = [public(RSAAlgorithm, RSA_KEY, kid="one"), public(ECAlgorithm, EC_KEY, kid="one")]
    provider.publish(*entries[::order])

    assert status(api, sign(kid="one")) == 200
    assert status(api, sign(EC_KEY, "ES256", "one")) == 200
    assert provider.fetches == 1


def test_each_of_two_keys_with_the_same_id_and_type_verifies_its_tokens(api: Api, provider: Provider) -> None:
    second = rsa.generate_private_key(65537, 2048)
    provider.publish(*(public(RSAAlgorithm, key, kid="one") for key in (RSA_KEY, second, second)))

    assert [status(api, sign(key, kid="one")) for key in (RSA_KEY, second)] == [200, 200]
    assert status(api, sign(rsa.generate_private_key(65537, 2048), kid="one")) == 401


def test_a_new_key_with_an_existing_id_is_found(api: Api, provider: Provider, monkeypatch) -> None:
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.0)
    provider.publish(public(RSAAlgorithm, RSA_KEY, kid="one"))
    assert status(api, sign(EC_KEY, "ES256", "one")) == 401
    provider.publish(public(RSAAlgorithm, RSA_KEY, kid="one"), public(ECAlgorithm, EC_KEY, kid="one"))

    assert status(api, sign(EC_KEY, "ES256", "one")) == 200


def test_a_token_without_key_id_is_verified_if_exactly_one_key_fits(api: Api, provider: Provider) -> None:
    assert (status(api, sign(kid=None)), status(api, sign(EC_KEY, "ES256", None))) == (200, 200)


def test_a_token_without_key_id_is_refused_where_several_keys_fit(api: Api, provider: Provider) -> None:
    other = rsa.generate_private_key(65537, 2048)
    provider.publish(public(RSAAlgorithm, RSA_KEY, kid="a"), public(RSAAlgorithm, other, kid="b"))

    assert status(api, sign(kid=None)) == 401


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize(("bits", "answer"), [(1024, 401), (2047, 401), (2048, 200), (3072, 200)])
def test_rsa_keys_of_fewer_than_2048_bits_are_ignored(bits: int, answer: int, api: Api, provider: Provider) -> None:
    key = rsa.generate_private_key(65537, bits)
    provider.publish(public(RSAAlgorithm, key, kid="rsa"), public(ECAlgorithm, EC_KEY, kid="ec"))

    assert status(api, sign(key)) == answer


CURVES = [
    (ec.SECP256R1, "ES256", {}, 200),
    (ec.SECP384R1, "ES384", {}, 200),
    (ec.SECP521R1, "ES512", {"alg": "ES512"}, 200),
    (ec.SECP384R1, "ES384", {"alg": "ES256"}, 401),
    (ec.SECP256K1, "ES256K", {}, 401),
    (ec.SECP256R1, "ES256", {"crv": "P-192"}, 401),
    (ec.SECP256R1, "ES256", {"crv": None}, 401),
    (ec.SECP256R1, "ES256", {"crv": ["P-256"]}, 401),
]


@pytest.mark.parametrize("case", CURVES)
def test_each_curve_verifies_only_its_own_algorithm(case, api: Api, provider: Provider) -> None:
    curve, algorithm, members, answer = case
    key = ec.generate_private_key(curve())
    provider.publish(public(ECAlgorithm, key, kid="k") | members, public(RSAAlgorithm, RSA_KEY, kid="rsa"))

    assert status(api, sign(key, algorithm, "k")) == answer


def test_an_ed25519_key_verifies_and_an_ed448_key_does_not(api: Api, provider: Provider) -> None:
    good, other = ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()
    provider.publish(public(OKPAlgorithm, good, kid="25519"), public(OKPAlgorithm, other, kid="448"))

    assert (status(api, sign(good, "EdDSA", "25519")), status(api, sign(other, "EdDSA", "448"))) == (200, 401)


def test_an_unsigned_token_is_refused(api: Api) -> None:
    assert status(api, sign(None, "none", "rsa")) == 401


def test_a_token_that_demands_an_extension_is_refused(api: Api) -> None:
    assert status(api, sign(header={"crit": ["exp"]})) == 401


def test_a_token_with_an_audience_is_refused_if_none_is_configured(api: Api) -> None:
    for audience in ("somebody-else", ["us", "them"]):
        answer = api.with_token(sign(claims={"aud": audience})).get("/protocols")
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
        assert "audience" in answer.json["detail"]


def test_a_configured_audience_is_required_of_tokens(app_with, provider: Provider) -> None:
    api = app_with(DASHBOARD_JWKS_URL=provider.url, DASHBOARD_SIGNING_KEY="", DASHBOARD_TOKEN_AUDIENCE="us")

    assert [status(api, sign(claims={"aud": each})) for each in ("us", ["them", "us"], "them", ["them"], "")] == [
        200,
        200,
        401,
        401,
        401,
    ]
    assert status(api, sign()) == 401


def test_a_locally_signed_token_with_an_audience_is_refused_if_none_is_configured(app_with) -> None:
    issuing = app_with(DASHBOARD_TOKEN_AUDIENCE="us")
    with issuing.transport.client.application.app_context() as context:
        settings = context.app.extensions["dashboard_config"]
        token = issue(settings, subject="v", role=Role.VIEWER, protocols=["*"], ttl_seconds=60)

    assert (status(issuing, token), status(app_with(), token)) == (200, 401)


def test_a_new_key_is_found_without_a_restart(api: Api, provider: Provider, monkeypatch) -> None:
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.0)
    assert status(api, sign()) == 200
    fresh = rsa.generate_private_key(65537, 2048)
    provider.publish(public(RSAAlgorithm, fresh, kid="fresh"))

    assert status(api, sign(fresh, kid="fresh")) == 200


def test_a_flood_of_made_up_key_ids_does_not_reach_the_provider(api: Api, provider: Provider) -> None:
    assert status(api, sign()) == 200

    assert {status(api, sign(kid=f"made-up-{number}")) for number in range(200)} == {401}

    assert provider.fetches == 1


def test_during_an_outage_of_the_provider_known_keys_stay_in_use(api: Api, provider: Provider, monkeypatch) -> None:
    assert status(api, sign()) == 200
    provider.status = 500
    monkeypatch.setattr(keys, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.0)

    assert status(api, sign(algorithm="RS384")) == 200
    assert provider.fetches > 1


def test_without_any_key_the_response_is_503_not_401(api: Api, provider: Provider) -> None:
    provider.status = 500
    answer = api.with_token(sign()).get("/protocols")

    assert answer.status == 503
    assert answer.code == "KEYS_UNAVAILABLE"
    assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": 5}', b'{"keys": []}', b"[" * 50_000, b" " * 300_000, b'{"keys": [5, {"kty": []}]}'],
)
def test_an_invalid_key_set_is_an_outage_not_a_crash(document: bytes, api: Api, provider: Provider) -> None:
    provider.document = document

    assert status(api, sign()) == 503
