"""A client of the public HTTP API, as agents would write it: tokens, keep-alive, retries with backoff."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

TIMEOUT_SECONDS = (3.0, 10.0)
RENEW_TOKEN_SECONDS = 3600.0
RETRIES = Retry(
    total=8,
    backoff_factor=0.2,
    backoff_max=5.0,
    backoff_jitter=0.2,  # spreads callers
    status_forcelist=(
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    ),
    allowed_methods=None,  # all
    raise_on_status=False,
)


class ApiClient:
    """One caller with its connection and its token. Not thread-safe."""

    def __init__(self, url: str, make_token: Callable[[], str]) -> None:
        self._url, self._make_token = url.rstrip("/") + "/api/v1", make_token
        self._token, self._renew_at = "", 0.0
        self._session = requests.Session()
        self._session.auth = self._authorize
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=RETRIES))

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if time.monotonic() >= self._renew_at:
            self._token, self._renew_at = self._make_token(), time.monotonic() + RENEW_TOKEN_SECONDS
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def get(self, path: str) -> requests.Response:
        """Raises requests.RequestException."""
        return self._session.get(self._url + path, timeout=TIMEOUT_SECONDS)

    def post(self, path: str, body: dict[str, Any], *, key: str = "") -> requests.Response:
        """With an Idempotency-Key, a repeated request takes effect once. Raises requests.RequestException."""
        headers = {"Idempotency-Key": key} if key else None
        return self._session.post(self._url + path, json=body, headers=headers, timeout=TIMEOUT_SECONDS)
