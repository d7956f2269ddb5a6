"""A client of the public HTTP API, as agents would write it: tokens, keep-alive, bounded backoff.

Own retries in place of urllib3's `Retry`, whose pauses cannot be interrupted by a stop.
"""

import logging
import random
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import requests

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = (3.0, 10.0)
FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0
MAX_ATTEMPTS = 8
RETRYABLE = frozenset(
    {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)


class Stopped(Exception):
    """A stop was requested while a request waited for its next attempt."""


class ApiClient:
    """One caller with its connection and its token, which is renewed when it expires. Not thread-safe."""

    def __init__(self, url: str, make_token: Callable[[], str], stop: threading.Event) -> None:
        self._url, self._make_token, self._stop = url.rstrip("/") + "/api/v1", make_token, stop
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {make_token()}"

    def get(self, path: str) -> requests.Response:
        return self._send("GET", path)

    def post(self, path: str, body: dict[str, Any], *, key: str = "") -> requests.Response:
        """With an Idempotency-Key, a repeated request takes effect once."""
        return self._send("POST", path, body, {"Idempotency-Key": key} if key else None)

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """Repeats after 429, 502, 503, 504 and lost connections. Raises Stopped, requests.RequestException."""
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(1, MAX_ATTEMPTS + 1):
            is_last = attempt == MAX_ATTEMPTS
            retry_after = 0.0
            try:
                response = self._send_once(method, path, body, headers)
                if response.status_code not in RETRYABLE or is_last:
                    return response
                retry_after = _parse_seconds(response.headers.get("Retry-After", ""))
            except (requests.ConnectionError, requests.Timeout) as error:
                if is_last:
                    raise
                logger.warning("simulation.connection_failed", extra={"path": path, "error": type(error).__name__})
            if self._stop.wait(max(retry_after, pause * random.uniform(0.5, 1.0))):  # noqa: S311 - spreads callers
                break
            pause = min(pause * 2, MAX_PAUSE_SECONDS)
        raise Stopped

    def _send_once(self, method: str, path: str, body: Any, headers: Any) -> requests.Response:
        def send() -> requests.Response:
            url = self._url + path
            return self._session.request(method, url, json=body, headers=headers, timeout=TIMEOUT_SECONDS)

        response = send()
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            self._session.headers["Authorization"] = f"Bearer {self._make_token()}"
            response = send()
        return response


def _parse_seconds(text: str) -> float:
    return min(float(text), MAX_PAUSE_SECONDS) if text.isdigit() else 0.0
