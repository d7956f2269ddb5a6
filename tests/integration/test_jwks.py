"""Tokens of an identity provider: its keys are fetched, kept through its outage, and not fetched for made-up ids."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.auth import keys
from tests.support.api import Api

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
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def api(app_with, provider: Provider) -> Api:
    return app_with(DASHBOARD_JWKS_URL=provider.url, DASHBOARD_SIGNING_KEY="")


def sign(key=RSA_KEY, algorithm: str = "RS256", kid: str | None = "rsa") -> str:
    now = int(time.time())
    claims = {"sub": "v", "role": "viewer", "protocols": ["*"], "iat": now, "exp": now + 600, "jti": "1"}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def status(api: Api, token: str) -> int:
    return api.with_token(token).get("/protocols").status


def test_tokens_of_each_published_key_count_and_the_set_is_fetched_once(api: Api, provider: Provider) -> None:
    statuses = [status(api, sign()), status(api, sign(EC_KEY, "ES256", "ec")), status(api, sign(algorithm="PS256"))]

    assert statuses == [200, 200, 200]
    assert provider.fetches == 1


def test_a_public_key_never_serves_as_a_shared_secret(api: Api, provider: Provider) -> None:
    provider.publish(public(RSAAlgorithm, RSA_KEY, kid="rsa"), {"kty": "oct", "kid": "weak", "k": "c2VjcmV0" * 8})
    forged = sign("secret" * 8, "HS256", "weak")

    assert status(api, forged) == 401
    assert status(api, sign("secret" * 8, "HS256", "rsa")) == 401


def test_a_key_serves_only_the_algorithm_it_was_published_for(api: Api, provider: Provider) -> None:
    provider.publish(public(RSAAlgorithm, RSA_KEY, kid="rsa", alg="RS512"))

    assert status(api, sign(algorithm="RS256")) == 401
    assert status(api, sign(algorithm="RS512")) == 200


def test_an_encryption_key_verifies_nothing(api: Api, provider: Provider) -> None:
    entries = public(RSAAlgorithm, RSA_KEY, kid="rsa", use="enc"), public(ECAlgorithm, EC_KEY, kid="ec")
    provider.publish(*entries)

    assert status(api, sign()) == 401


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


def test_the_providers_outage_is_survived_with_the_keys_that_are_known(
    api: Api, provider: Provider, monkeypatch
) -> None:
    assert status(api, sign()) == 200
    provider.status = 500
    monkeypatch.setattr(keys, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.0)

    assert status(api, sign(algorithm="RS384")) == 200
    assert provider.fetches > 1


def test_without_any_keys_the_answer_is_503_not_401(api: Api, provider: Provider) -> None:
    provider.status = 500
    answer = api.with_token(sign()).get("/protocols")

    assert answer.status == 503
    assert answer.code == "KEYS_UNAVAILABLE"
    assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": 5}', b'{"keys": []}', b"[" * 50_000, b" " * 300_000, b'{"keys": [5, {"kty": []}]}'],
)
def test_a_key_set_that_is_none_is_an_outage_not_a_crash(document: bytes, api: Api, provider: Provider) -> None:
    provider.document = document

    assert status(api, sign()) == 503
