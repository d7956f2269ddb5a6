"""A client of the public HTTP API, as agents would write it: tokens, keep-alive, bounded backoff."""

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
TRIES = 8
TRY_AGAIN = frozenset(
    {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)


class Stopped(Exception):
    """The caller asked to stop while a request waited for its next try."""


class Api:
    """One caller: a connection and a token that is made anew before it expires. Not for use by several threads."""

    def __init__(self, url: str, make_token: Callable[[], str], stop: threading.Event) -> None:
        self._url, self._make_token, self._stop = url.rstrip("/") + "/api/v1", make_token, stop
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {make_token()}"

    def get(self, path: str) -> requests.Response:
        return self._send("GET", path, None, {})

    def post(self, path: str, body: dict[str, Any], *, key: str = "") -> requests.Response:
        """`key` makes the second try of a request that may have arrived harmless."""
        return self._send("POST", path, body, {"Idempotency-Key": key} if key else {})

    def _send(self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> requests.Response:
        """Tries again after 429, 502, 503, 504 and lost connections. Raises Stopped, requests.RequestException."""
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(1, TRIES + 1):
            last = attempt == TRIES
            try:
                response = self._once(method, path, body, headers)
            except (requests.ConnectionError, requests.Timeout) as error:
                if last:
                    raise
                logger.warning("simulate.waiting", extra={"path": path, "error": type(error).__name__})
                wanted = 0.0
            else:
                if response.status_code not in TRY_AGAIN or last:
                    return response
                wanted = _seconds(response.headers.get("Retry-After", ""))
            if self._stop.wait(max(wanted, pause * random.uniform(0.5, 1.0))):  # noqa: S311 - spreads callers
                break
            pause = min(pause * 2, MAX_PAUSE_SECONDS)
        raise Stopped

    def _once(self, method: str, path: str, body: Any, headers: dict[str, str]) -> requests.Response:
        response = self._request(method, path, body, headers)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            self._session.headers["Authorization"] = f"Bearer {self._make_token()}"
            response = self._request(method, path, body, headers)
        return response

    def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> requests.Response:
        return self._session.request(method, self._url + path, json=body, headers=headers, timeout=TIMEOUT_SECONDS)


def _seconds(text: str) -> float:
    return min(float(text), MAX_PAUSE_SECONDS) if text.isdigit() else 0.0
