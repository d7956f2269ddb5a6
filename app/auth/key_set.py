"""A provider's key set (RFC 7517): fetched within a fixed time, however slowly its bytes come, and taken apart."""

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from typing import Any

import jwt
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

FETCH_SECONDS = 3.0
LARGEST_KEY_SET = 256 * 1024
MOST_KEYS = 64
# Asymmetric ones alone: a public key must never serve as an HMAC secret.
RSA_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
PROVIDER_ALGORITHMS = [*RSA_ALGORITHMS, "ES256", "ES384", "ES512", "EdDSA"]


@dataclass(frozen=True)
class Key:
    """A key and the algorithms that may be used with it."""

    material: Any
    algorithms: list[str]


def fetch(url: str) -> dict[str | None, Key]:
    """The key set at `url`, by key id. Raises requests.RequestException, urllib3 HTTPError, ValueError."""
    with _Session() as session, session.get(url, timeout=FETCH_SECONDS, stream=True, allow_redirects=False) as response:
        if response.status_code != requests.codes.ok:
            raise ValueError(f"HTTP {response.status_code}")
        body = b""
        while piece := response.raw.read1(8192, decode_content=True):
            body += piece
            if len(body) > LARGEST_KEY_SET:
                raise ValueError(f"the key set is longer than {LARGEST_KEY_SET} bytes")
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


def _parse(document: Any) -> dict[str | None, Key]:
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a key set")  # noqa: TRY004 - a fault of the text, like all others here
    keys = {}
    for each in listed[:MOST_KEYS]:
        key = _key_of(each)
        if key is not None:
            keys[each.get("kid")] = key
    return keys


def _key_of(entry: Any) -> Key | None:
    """None for what is not a public signature key that we understand: providers publish others beside them."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str | None):
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    any_of_its_kind = RSA_ALGORITHMS if entry["kty"] == "RSA" and "alg" not in entry else [key.algorithm_name]
    algorithms = [each for each in any_of_its_kind if each in PROVIDER_ALGORITHMS]
    return Key(key.key, algorithms) if algorithms else None
