"""Many agents of a running system that report in one batch."""

import json

from tests.factories import report, unique
from tests.support.api import BASE, OverHttp
from tests.support.stack import Stack


class AgentGroup:
    """`group.report(protocol_id, 50)`: every agent reports this progress in one accepted batch (at most 500 agents)."""

    def __init__(self, stack: Stack, count: int) -> None:
        self._http = OverHttp(stack.url)
        self._token = stack.api.token("admin")
        self.agents = sorted(unique("A") for _ in range(count))
        for agent_id in self.agents:
            self._post("/agents", {"id": agent_id, "name": "One of many", "type": "RESEARCHER"}, 201)

    def report(self, protocol_id: str, progress: int, agents: list[str] | None = None, task: str = "scan") -> None:
        body = report(protocol_id, task, progress)
        self._post("/progress", {"updates": [body | {"agentId": each} for each in agents or self.agents]}, 202)

    def _post(self, path: str, body: object, status: int) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        response = self._http.send("POST", BASE + path, json.dumps(body).encode(), headers)
        response.expect(status)
