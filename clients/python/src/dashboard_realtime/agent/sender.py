"""Sends an agent's requests, one attempt each, from threads."""

import asyncio
import os
from typing import Any
from urllib.parse import quote

import httpx

from dashboard_realtime.errors import DashboardError
from dashboard_realtime.retrying import error_of, unreachable
from dashboard_realtime.tokens import TokenSource, claims_of

TIMEOUT_SECONDS = 10.0


class NoAgentId(DashboardError):
    """The token names no agent in `sub`."""


class Sender:
    def __init__(self, url: str, token: TokenSource, agent_id: str | None, http: dict[str, Any]) -> None:
        self._url, self._token, self._http = url, token, http
        self.token_loop: asyncio.AbstractEventLoop | None = None  # where an async function of the token runs
        self._agent_id = agent_id
        self._pid, self._client = 0, httpx.Client()

    @property
    def is_renewable(self) -> bool:
        return self._token.is_renewable

    def report(self, reports: list[dict[str, Any]], key: str | None = None) -> list[dict[str, Any]]:
        """Send one report, or several in a batch; returns the rejected ones of a batch. Raises DashboardError."""
        token = self._token.get_blocking(self.token_loop)
        agent_id = self._agent_id or claims_of(token).get("sub")
        if not agent_id:
            raise NoAgentId("The token names no agent: pass `agent_id`.")
        if len(reports) == 1:
            self._post(f"/agents/{quote(agent_id, safe='')}/progress", reports[0], token, key)
            return []
        answer = self._post("/progress", {"updates": [{"agentId": agent_id, **each} for each in reports]}, token, key)
        rejected: list[dict[str, Any]] = answer.get("rejected", [])
        return rejected

    def file(self, protocol_id: str, finding: dict[str, Any], key: str) -> dict[str, Any]:
        """Raises DashboardError."""
        token = self._token.get_blocking(self.token_loop)
        return self._post(f"/protocols/{quote(protocol_id, safe='')}/vulnerabilities", finding, token, key)

    def _post(self, path: str, body: dict[str, Any], token: str, key: str | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        try:
            response = self._connection().post(f"/api/v1{path}", json=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(error) from error
        if not response.is_success:
            raise error_of(response)
        try:
            answer = response.json()
        except ValueError as error:
            raise unreachable(error) from error
        return answer if isinstance(answer, dict) else {}

    def _connection(self) -> httpx.Client:
        """The client of this process: a fork must not use its parent's connections."""
        if self._pid != os.getpid():
            self._client = httpx.Client(**{"base_url": self._url, "timeout": TIMEOUT_SECONDS, **self._http})
            self._pid = os.getpid()
        return self._client
