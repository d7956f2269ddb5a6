"""Sends an agent's requests, one attempt each, from threads."""

import asyncio
import os
from dataclasses import replace
from typing import Any

from dashboard_realtime.errors import DashboardError
from dashboard_realtime.rest import operations, types
from dashboard_realtime.rest.client import Client
from dashboard_realtime.tokens import Token, TokenSource, claims_of

# The server stores a report with a key; a RUNNING one needs none, because the next one replaces it.
RUNNING = replace(operations.REPORT_PROGRESS, is_idempotent=False)
RUNNING_BATCH = replace(operations.REPORT_BATCH, is_idempotent=False)


class NoAgentId(DashboardError):
    """The token names no agent in `sub`."""


class Sender:
    def __init__(self, url: str, token: Token, agent_id: str | None, http: dict[str, Any]) -> None:
        self._url, self._http, self._agent_id = url, http, agent_id
        self._token = TokenSource(token)
        self._pid, self._client = os.getpid(), self._new_client()

    @property
    def is_renewable(self) -> bool:
        return self._token.is_renewable

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run an async function of the token in this loop."""
        self._token.loop = loop

    def close_task(self, report: dict[str, Any], key: str) -> None:
        """Send a terminal update. Raises DashboardError."""
        path = {"agentId": self._agent()}
        self._connection().call(operations.REPORT_PROGRESS, path=path, body=report, idempotency_key=key)

    def report(self, reports: list[dict[str, Any]]) -> list[types.Rejected]:
        """Send RUNNING reports, several as a batch; returns the rejected ones of a batch. Raises DashboardError."""
        agent_id, client = self._agent(), self._connection()
        if len(reports) == 1:
            client.call(RUNNING, path={"agentId": agent_id}, body=reports[0])
            return []
        updates = [{"agentId": agent_id, **each} for each in reports]
        return client.call(RUNNING_BATCH, body={"updates": updates})["rejected"]

    def file(self, protocol_id: str, finding: dict[str, Any], key: str) -> types.Vulnerability:
        """Raises DashboardError."""
        path = {"protocolId": protocol_id}
        client = self._connection()
        return client.call(operations.FILE_VULNERABILITY, path=path, body=finding, idempotency_key=key)

    def close(self) -> None:
        self._client.close()

    def _agent(self) -> str:
        agent_id = self._agent_id or claims_of(self._token.get_blocking()).get("sub")
        if not agent_id:
            raise NoAgentId("The token names no agent: pass `agent_id`.")
        return str(agent_id)

    def _connection(self) -> Client:
        """The client of this process: a fork must not use its parent's connections."""
        if self._pid != os.getpid():
            self._pid, self._client = os.getpid(), self._new_client()
        return self._client

    def _new_client(self) -> Client:
        return Client(self._url, self._token, retries=0, http=self._http)
