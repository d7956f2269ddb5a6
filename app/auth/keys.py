"""Keys that tokens are verified with: our own two secrets, or an identity provider's published key set (RFC 7517)."""

import hashlib
import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
import requests

from app.config import Config
from app.errors import DependencyDown
from app.observability import metrics

logger = logging.getLogger(__name__)

ALGORITHM = "HS256"
FRESH_SECONDS = 300.0
OUTAGE_SECONDS = 24 * 3600.0
RETRY_SECONDS = 10.0
FETCH_TIMEOUT_SECONDS = 3.0
LARGEST_KEY_SET = 256 * 1024
MOST_KEYS = 64
RETRY_WITHOUT_KEYS_SECONDS = 1.0
# Asymmetric ones alone: a public key must never serve as an HMAC secret.
RSA_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
PROVIDER_ALGORITHMS = [*RSA_ALGORITHMS, "ES256", "ES384", "ES512", "EdDSA"]


@dataclass(frozen=True)
class Key:
    """A key and the algorithms that may be used with it."""

    material: Any
    algorithms: list[str]


class KeySource(Protocol):
    def candidates(self, key_id: str | None) -> list[Key]:
        """The keys a token may be signed with. Raises Unauthorized, DependencyDown."""


def key_id_of(secret: str) -> str:
    """The `kid` of a shared secret: tells the two keys of a rotation apart, and nothing about either."""
    return hashlib.sha256(b"dashboard-realtime/kid\x00" + secret.encode()).hexdigest()[:16]


class SharedSecrets:
    """The signing key, and during a rotation the one before it."""

    def __init__(self, settings: Config) -> None:
        secrets = filter(None, (settings.signing_key, settings.previous_signing_key))
        self._keys = {key_id_of(secret): Key(secret, [ALGORITHM]) for secret in secrets}

    def candidates(self, key_id: str | None) -> list[Key]:
        if key_id is None:
            return list(self._keys.values())
        return [self._keys[key_id]] if key_id in self._keys else []


class ProviderKeys:
    """A provider's key set: fetched when needed, kept for five minutes, and for a day while it cannot be fetched.

    A `kid` that is not in it may be a new key, so the set is fetched again for it, but at most every ten seconds:
    tokens with made-up ids cost the provider nothing.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str | None, Key] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = threading.Lock()

    def candidates(self, key_id: str | None) -> list[Key]:
        now = time.monotonic()
        if now - self._fetched_at > FRESH_SECONDS or (key_id is not None and key_id not in self._keys):
            self._refresh(now)
        if time.monotonic() - self._fetched_at > OUTAGE_SECONDS:
            raise DependencyDown("The identity provider's keys are out of reach.", code="KEYS_UNAVAILABLE")
        if key_id is None:
            return list(self._keys.values()) if len(self._keys) == 1 else []
        return [self._keys[key_id]] if key_id in self._keys else []

    def _refresh(self, now: float) -> None:
        """Fetch the set unless that was tried just now. Whoever has keys does not wait for another's fetch."""
        if not self._fetching.acquire(blocking=not self._keys):
            return
        try:
            pause = RETRY_SECONDS if self._keys else RETRY_WITHOUT_KEYS_SECONDS
            if time.monotonic() - self._tried_at < pause:
                return
            self._tried_at = now
            self._keys = _fetch(self._url)
            self._fetched_at = time.monotonic()
        except (requests.RequestException, ValueError, RecursionError) as error:
            metrics.KEY_SET_FAILURES.inc()
            logger.warning("keys.unavailable", extra={"error": f"{type(error).__name__}: {error}"})
        finally:
            self._fetching.release()


def key_source(settings: Config) -> KeySource:
    return ProviderKeys(settings.jwks_url) if settings.jwks_url else SharedSecrets(settings)


def _fetch(url: str) -> dict[str | None, Key]:
    """Raises requests.RequestException, ValueError."""
    with requests.get(url, timeout=FETCH_TIMEOUT_SECONDS, stream=True, allow_redirects=False) as response:
        if response.status_code != requests.codes.ok:
            raise ValueError(f"HTTP {response.status_code}")
        body, deadline = b"", time.monotonic() + FETCH_TIMEOUT_SECONDS
        for chunk in response.iter_content(8192):
            body += chunk
            if len(body) > LARGEST_KEY_SET or time.monotonic() > deadline:
                raise ValueError("the key set is too large or too slow")
    keys = _parse(json.loads(body))
    if not keys:
        raise ValueError("the key set holds no key that can verify signatures")
    return keys


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
