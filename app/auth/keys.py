"""Keys that tokens are verified with: our own two secrets, or an identity provider's published key set."""

import hashlib
import logging
import threading
import time
from typing import Protocol

import requests
import urllib3

from app.auth import key_set
from app.auth.key_set import Key
from app.config import Config
from app.core.errors import KeysUnavailable
from app.observability import metrics

logger = logging.getLogger(__name__)

ALGORITHM = "HS256"
FRESH_SECONDS = 300.0
OUTAGE_SECONDS = 24 * 3600.0
RETRY_SECONDS = 10.0
RETRY_WITHOUT_KEYS_SECONDS = 1.0


class KeySource(Protocol):
    def candidates(self, key_id: str | None, algorithm: str) -> list[Key]:
        """The keys a token may be signed with. Raises DependencyUnavailable."""


def key_id_of(secret: str) -> str:
    """The `kid` of a shared secret: tells the two keys of a rotation apart, and nothing about either."""
    return hashlib.sha256(b"dashboard-realtime/kid\x00" + secret.encode()).hexdigest()[:16]


class SharedSecrets:
    """The signing key, and during a rotation the one before it."""

    def __init__(self, settings: Config) -> None:
        secrets = filter(None, (settings.signing_key, settings.previous_signing_key))
        self._keys = {key_id_of(secret): Key(secret, [ALGORITHM]) for secret in secrets}

    def candidates(self, key_id: str | None, algorithm: str) -> list[Key]:
        del algorithm  # the keys know theirs, which is the same
        if key_id is None:
            return list(self._keys.values())
        return [self._keys[key_id]] if key_id in self._keys else []


class ProviderKeys:
    """A provider's key set: fetched when needed, kept for five minutes, and for a day while it cannot be fetched.

    A `kid` that is not in it with the token's algorithm may be a new key, so the set is fetched again for it, but at
    most every ten seconds: tokens with made-up ids cost the provider nothing. A fetch runs beside its callers, who
    share its outcome and wait for it three seconds at most, whatever the provider does.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: key_set.KeySet = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._starting = threading.Lock()
        self._fetch_over = threading.Event()
        self._fetch_over.set()

    def candidates(self, key_id: str | None, algorithm: str) -> list[Key]:
        is_known = bool(self._matching(key_id, algorithm))
        if time.monotonic() - self._fetched_at > FRESH_SECONDS or not is_known:
            self._refresh(is_known=is_known)
        if time.monotonic() - self._fetched_at > OUTAGE_SECONDS:
            raise KeysUnavailable
        return self._matching(key_id, algorithm)

    def _matching(self, key_id: str | None, algorithm: str) -> list[Key]:
        """The keys of that id and algorithm; for a token that names none, the only key of its algorithm."""
        keys = self._keys
        named = keys.get(key_id, []) if key_id is not None else [key for each in keys.values() for key in each]
        fitting = [key for key in named if algorithm in key.algorithms]
        return [] if key_id is None and len(fitting) > 1 else fitting

    def _refresh(self, *, is_known: bool) -> None:
        """Fetch the set unless that was tried just now. Whoever has the key does not wait for another's fetch."""
        if self._start_fetch() or not is_known:
            self._fetch_over.wait(key_set.FETCH_SECONDS)

    def _start_fetch(self) -> bool:
        with self._starting:
            pause = RETRY_SECONDS if self._keys else RETRY_WITHOUT_KEYS_SECONDS
            if not self._fetch_over.is_set() or time.monotonic() - self._tried_at < pause:
                return False
            self._tried_at = time.monotonic()
            over = threading.Event()
            threading.Thread(target=self._fetch, args=(over,), daemon=True).start()
            self._fetch_over = over
            return True

    def _fetch(self, over: threading.Event) -> None:
        try:
            self._keys = key_set.fetch(self._url)
            self._fetched_at = time.monotonic()
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, RecursionError) as error:
            metrics.KEY_SET_FAILURES.inc()
            logger.warning("keys.unavailable", extra={"error": f"{type(error).__name__}: {error}"})
        finally:
            over.set()


def key_source(settings: Config) -> KeySource:
    return ProviderKeys(settings.jwks_url) if settings.jwks_url else SharedSecrets(settings)
