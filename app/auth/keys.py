"""Keys that verify tokens: our own two secrets, or an identity provider's published key set (RFC 7517)."""

import hashlib
import json
import logging
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from app.config import Config
from app.core import outbound
from app.core.errors import KeysUnavailable
from app.core.outbound import Limits, OutboundError
from app.observability import metrics

logger = logging.getLogger(__name__)

ALGORITHM = "HS256"
FETCH_SECONDS = 3.0
FRESH_SECONDS = 300.0
OUTAGE_SECONDS = 24 * 3600.0
RETRY_SECONDS = 10.0
RETRY_WITHOUT_KEYS_SECONDS = 1.0
MAX_KEY_SET_BYTES = 256 * 1024
MAX_KEYS = 64
MIN_RSA_BITS = 2048  # RFC 7518, 3.3
# By type and curve. Only asymmetric ones: a public key must never serve as an HMAC secret.
ALGORITHMS = {
    ("RSA", None): ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    ("EC", "P-256"): ["ES256"],
    ("EC", "P-384"): ["ES384"],
    ("EC", "P-521"): ["ES512"],
    ("OKP", "Ed25519"): ["EdDSA"],
}


@dataclass(frozen=True)
class Key:
    """A key and the algorithms that it may be used with."""

    material: Any
    algorithms: list[str]


KeySet = dict[str | None, list[Key]]
"""Keys by their id. Several may share one; the token's algorithm decides between them."""


def key_id_of(secret: str) -> str:
    """The `kid` of a shared secret: distinguishes the two keys of a rotation and reveals neither."""
    return hashlib.sha256(b"dashboard-realtime/kid\x00" + secret.encode()).hexdigest()[:16]


class SharedSecrets:
    """The signing key and, during a rotation, the previous one."""

    def __init__(self, settings: Config) -> None:
        secrets = filter(None, (settings.signing_key, settings.previous_signing_key))
        self._keys = {key_id_of(secret): Key(secret, [ALGORITHM]) for secret in secrets}

    def candidates(self, key_id: str | None, _algorithm: str) -> list[Key]:
        return [key for own_id, key in self._keys.items() if key_id in (None, own_id)]


class ProviderKeys:
    """A provider's key set: fetched when needed, fresh for five minutes, used for a day while fetching fails.

    A `kid` that the set lacks for the token's algorithm may be a new key, so the set is fetched again, but at most
    every ten seconds: tokens with invented ids cause no load at the provider. A fetch runs in its own thread; callers
    share its result and wait for at most three seconds.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: KeySet = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._starting = threading.Lock()
        self._fetch_over = threading.Event()
        self._fetch_over.set()

    def candidates(self, key_id: str | None, algorithm: str) -> list[Key]:
        """The keys that may have signed a token. Raises KeysUnavailable."""
        keys = self._matching(key_id, algorithm)
        if time.monotonic() - self._fetched_at > FRESH_SECONDS or not keys:
            if self._start_fetch() or not keys:  # who has a key does not wait for another caller's fetch
                self._fetch_over.wait(FETCH_SECONDS)
            keys = self._matching(key_id, algorithm)
        if time.monotonic() - self._fetched_at > OUTAGE_SECONDS:
            raise KeysUnavailable
        return keys

    def _matching(self, key_id: str | None, algorithm: str) -> list[Key]:
        """The keys of that id and algorithm; for a token without `kid`, the only key of its algorithm."""
        keys = self._keys
        named = keys.get(key_id, []) if key_id is not None else [key for each in keys.values() for key in each]
        fitting = [key for key in named if algorithm in key.algorithms]
        return [] if key_id is None and len(fitting) > 1 else fitting

    def _start_fetch(self) -> bool:
        """Start a fetch unless one is running or was tried recently."""
        with self._starting:
            pause = RETRY_SECONDS if self._keys else RETRY_WITHOUT_KEYS_SECONDS
            if not self._fetch_over.is_set() or time.monotonic() - self._tried_at < pause:
                return False
            self._tried_at = time.monotonic()
            self._fetch_over.clear()
        threading.Thread(target=self._fetch, daemon=True).start()
        return True

    def _fetch(self) -> None:
        try:
            self._keys = fetch_key_set(self._url)
            self._fetched_at = time.monotonic()
        except (OutboundError, ValueError, RecursionError) as error:
            metrics.KEY_SET_FAILURES.inc()
            detail = getattr(error, "detail", "")
            logger.warning(
                "key_set.fetch_failed", extra={"error": f"{type(error).__name__}: {error} {detail}".rstrip()}
            )
        finally:
            self._fetch_over.set()


def fetch_key_set(url: str) -> KeySet:
    """The key set at `url`. Raises OutboundError, ValueError, RecursionError (a deeply nested document)."""
    document = _fetch_document(url)
    listed = document.get("keys") if isinstance(document, dict) else None
    keys: KeySet = {}
    for entry in listed[:MAX_KEYS] if isinstance(listed, list) else []:
        key = _parse_key(entry)
        if key is not None:
            keys.setdefault(entry.get("kid"), []).append(key)
    if not keys:
        raise ValueError("the document has no key that can verify signatures")
    return keys


def fetch_issuer(issuer: str) -> str | None:
    """The name that an issuer gives itself (OpenID Connect Discovery); None if it does not tell."""
    try:
        document = _fetch_document(issuer.rstrip("/") + "/.well-known/openid-configuration") if issuer else None
    except (OutboundError, ValueError, RecursionError):
        return None
    named = document.get("issuer") if isinstance(document, dict) else None
    return named if isinstance(named, str) else None


def _fetch_document(url: str) -> Any:
    response = outbound.send("GET", url, Limits(FETCH_SECONDS, FETCH_SECONDS, FETCH_SECONDS, MAX_KEY_SET_BYTES))
    if response.status != HTTPStatus.OK:
        raise ValueError(f"HTTP {response.status}")
    return json.loads(response.body)


def _parse_key(entry: Any) -> Key | None:
    """None for all but supported public signature keys: providers publish other entries beside them."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str | None) or "d" in entry:
        return None  # `d`: a private key, which others may have read as well
    operations = entry.get("key_ops") or ["verify"]
    if (entry.get("use") or "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    curve = None if entry.get("kty") == "RSA" else str(entry.get("crv"))
    supported = ALGORITHMS.get((str(entry.get("kty")), curve), [])
    algorithms = [each for each in supported if entry.get("alg") in (None, each)]
    if not algorithms:
        return None
    try:
        material = jwt.PyJWK(entry, algorithms[0]).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        return None
    is_weak = entry["kty"] == "RSA" and material.key_size < MIN_RSA_BITS
    return None if is_weak else Key(material, algorithms)
