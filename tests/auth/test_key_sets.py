"""A provider's key set at its edges: size, number and kinds of keys, other answers than 200."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.auth.keys import MAX_KEY_SET_BYTES, fetch_key_set
from app.core.outbound import OutboundError

RSA = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key()))
EC = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(body, status=200, Location="…")`: the address of a server that answers everything with this."""
    servers = []

    def start(body: bytes, status: int = 200, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/keys"

    yield start
    for each in servers:
        each.shutdown()
        each.server_close()


def document(*entries: Any) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def test_each_kind_of_key_verifies_its_own_algorithms(serve):
    found = fetch_key_set(serve(document(RSA | {"kid": "r"}, RSA | {"kid": "one", "alg": "RS256"}, EC | {"kid": "e"})))
    assert set(found) == {"r", "one", "e"}
    algorithms = {key_id: key.algorithms for key_id, [key] in found.items()}
    assert algorithms["r"] == ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
    assert (algorithms["one"], algorithms["e"]) == (["RS256"], ["ES256"])


def test_entries_other_than_public_signature_keys_are_ignored(serve):
    strange = [
        None, "key", [], {}, {"kty": "RSA"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
        RSA | {"kid": "enc", "use": "enc"}, RSA | {"kid": 5}, RSA | {"kid": ["x"]}, EC | {"kid": "bad", "x": "!"},
    ]  # fmt: skip
    assert set(fetch_key_set(serve(document(*strange, RSA | {"kid": "good", "use": "sig"})))) == {"good"}
    with pytest.raises(ValueError, match="no key"):
        fetch_key_set(serve(document(*strange)))


def test_a_key_without_an_id_is_kept(serve):
    assert set(fetch_key_set(serve(document(EC)))) == {None}


def test_only_the_first_64_keys_of_a_set_are_used(serve):
    entries = [EC | {"kid": str(number)} for number in range(67)]
    assert set(fetch_key_set(serve(document(*entries)))) == {str(number) for number in range(64)}


def test_a_key_set_over_the_size_limit_is_refused(serve):
    good = document(EC | {"kid": "e"})
    assert MAX_KEY_SET_BYTES == 256 * 1024
    assert set(fetch_key_set(serve(good + b" " * (MAX_KEY_SET_BYTES - len(good))))) == {"e"}
    with pytest.raises(OutboundError, match="longer than 262144 bytes"):
        fetch_key_set(serve(good + b" " * (MAX_KEY_SET_BYTES - len(good) + 1)))


@pytest.mark.parametrize("status", [201, 204, 301, 302, 304, 400, 404, 500])
def test_a_status_other_than_200_is_no_key_set(serve, status):
    elsewhere = serve(document(EC | {"kid": "e"}))
    with pytest.raises(ValueError, match=str(status)):
        fetch_key_set(serve(b"" if status in (204, 304) else document(EC), status, Location=elsewhere))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": 5}', b"null", b"<html>", b'{"keys": []}']
)
def test_a_document_without_keys_is_no_key_set(serve, body):
    with pytest.raises(ValueError):
        fetch_key_set(serve(body))
