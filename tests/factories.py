"""Creates objects through the public API."""

import uuid
from typing import Any

from tests.support.api import Api


def unique(prefix: str) -> str:
    """A unique id, so that tests can share a running system."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def make_protocol(api: Api, **fields: Any) -> str:
    body = {"id": unique("P"), "name": "Test protocol"} | fields
    return api.admin.post("/protocols", body).expect(201)["id"]


def make_agent(api: Api, **fields: Any) -> str:
    body = {"id": unique("A"), "name": "Test agent", "type": "RESEARCHER"} | fields
    return api.admin.post("/agents", body).expect(201)["id"]


def deposit(api: Api, protocol_id: str, amount: str, **fields: Any) -> dict[str, Any]:
    return api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": amount} | fields).expect(201)


def file_vulnerability(api: Api, protocol_id: str, **fields: Any) -> dict[str, Any]:
    body = {"title": "Reentrancy in withdraw()", "severity": "HIGH"} | fields
    return api.validator.post(f"/protocols/{protocol_id}/vulnerabilities", body).expect(201)


def report(protocol_id: str, task: str = "static analysis", progress: Any = 10, **fields: Any) -> dict[str, Any]:
    """The body of a progress report."""
    return {"protocolId": protocol_id, "task": task, "progress": progress} | fields
