"""A provider's key set (RFC 7517): fetched within a fixed time, however slowly its bytes come, and taken apart."""

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from typing import Any

import jwt
import requests
from cryptography.exceptions import UnsupportedAlgorithm
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

FETCH_SECONDS = 3.0
MAX_KEY_SET = 256 * 1024
MAX_KEYS = 64
LEAST_RSA_BITS = 2048  # RFC 7518, 3.3
# By type and curve. Asymmetric ones alone: a public key must never serve as an HMAC secret.
ALGORITHMS = {
    ("RSA", None): ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    ("EC", "P-256"): ["ES256"],
    ("EC", "P-384"): ["ES384"],
    ("EC", "P-521"): ["ES512"],
    ("OKP", "Ed25519"): ["EdDSA"],
}


@dataclass(frozen=True)
class Key:
    """A key and the algorithms that may be used with it."""

    material: Any
    algorithms: list[str]


KeySet = dict[str | None, list[Key]]
"""Keys by their id: several may share one, and are told apart by the token's algorithm."""


def fetch(url: str) -> KeySet:
    """The key set at `url`. Raises requests.RequestException, urllib3 HTTPError, ValueError."""
    with _Session() as session, session.get(url, timeout=FETCH_SECONDS, stream=True, allow_redirects=False) as response:
        if response.status_code != requests.codes.ok:
            raise ValueError(f"HTTP {response.status_code}")
        body = b""
        while piece := response.raw.read1(8192, decode_content=True):
            body += piece
            if len(body) > MAX_KEY_SET:
                raise ValueError(f"the key set is longer than {MAX_KEY_SET} bytes")
    keys = _parse(json.loads(body))
    if not keys:
        raise ValueError("the key set holds no key that can verify signatures")
    return keys


class _Session(requests.Session):
    """Follows no redirect, and cuts its connections off in time."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in _POOLS:
            self.mount(f"{scheme}://", _CutOff())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Also keeps `requests` from reading the redirect's body, without limit, for itself."""


def _cut_in_time(sock: socket.socket) -> socket.socket:
    """Have the connection end when its time is over: a timeout of the socket's own begins anew with every byte."""
    cut = threading.Timer(FETCH_SECONDS, _cut, (sock.dup(),))  # TLS takes the socket itself over
    cut.daemon = True
    cut.start()
    return sock


def _cut(sock: socket.socket) -> None:
    with contextlib.closing(sock), contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class _Http(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _cut_in_time(super()._new_conn())


class _Https(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _cut_in_time(super()._new_conn())


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class _CutOff(HTTPAdapter):
    """Makes connections of the kind above, with and without a proxy."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def _parse(document: Any) -> KeySet:
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a key set")  # noqa: TRY004 - a fault of the text, like all others here
    keys: KeySet = {}
    for each in listed[:MAX_KEYS]:
        key = _key_of(each)
        if key is not None:
            keys.setdefault(each.get("kid"), []).append(key)
    return keys


def _key_of(entry: Any) -> Key | None:
    """None for what is not a public signature key that we understand: providers publish others beside them."""
    algorithms = _algorithms_of(entry)
    if not algorithms:
        return None
    try:
        material = jwt.PyJWK(entry, algorithms[0]).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        return None
    is_weak = entry["kty"] == "RSA" and material.key_size < LEAST_RSA_BITS
    return None if is_weak else Key(material, algorithms)


def _algorithms_of(entry: Any) -> list[str]:
    """What the entry may verify: the algorithm it names, or all of its type; none for a key of another use."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str | None) or "d" in entry:
        return []  # `d`: a private key, which somebody else may have read as well
    operations = entry.get("key_ops") or ["verify"]
    if (entry.get("use") or "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return []
    curve = None if entry.get("kty") == "RSA" else str(entry.get("crv"))
    fitting = ALGORITHMS.get((str(entry.get("kty")), curve), [])
    return [each for each in fitting if entry.get("alg") in (None, each)]
