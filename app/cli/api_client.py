"""A client of the public HTTP API for simulated callers."""

import time
from functools import partial
from typing import Any

import requests
import uuid_utils.compat as uuid
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from app.auth.tokens import issue
from app.config import Config


class ApiClient:
    """One caller, with retries and a token that it renews. Not thread-safe. Raises requests.RequestException."""

    def __init__(self, settings: Config, url: str, **claims: Any) -> None:
        self._url, self._token, self._renew_at = url.rstrip("/") + "/api/v1", "", 0.0
        self._make_token = partial(issue, settings, ttl_seconds=24 * 3600, **claims)
        retries = Retry(
            total=8,
            backoff_factor=0.2,
            backoff_max=5.0,
            backoff_jitter=0.2,  # spreads callers
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,  # all
            raise_on_status=False,
        )
        self._session = requests.Session()
        self._session.mount(self._url, HTTPAdapter(max_retries=retries))
        self._session.auth = self._authorize

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if time.monotonic() >= self._renew_at:
            self._token, self._renew_at = self._make_token(), time.monotonic() + 3600
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def read(self, path: str) -> dict[str, Any]:
        """Return the answer, or nothing when the server refused it."""
        answer = self._session.get(self._url + path, timeout=(3, 10))
        return dict(answer.json()) if answer.ok else {}

    def post(self, path: str, body: dict[str, Any], **headers: str) -> requests.Response:
        return self._session.post(self._url + path, json=body, headers=headers, timeout=(3, 10))

    def act(self, path: str, body: dict[str, Any]) -> bool:
        """Post with an Idempotency-Key: a repeated request takes effect once. Return whether it was accepted."""
        return self.post(path, body, **{"Idempotency-Key": str(uuid.uuid4())}).ok
