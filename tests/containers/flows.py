"""The main use cases, performed from outside through the proxy."""

import time
from typing import Any

from tests.containers.compose import Compose
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.api import Api
from tests.support.js_client import JsClient, JsSocket
from tests.support.processes import until


def watch(compose: Compose, js: JsClient, protocol_id: str, **options: Any) -> JsSocket:
    auth = {"token": compose.api.token("viewer", protocols=[protocol_id]), "protocolId": protocol_id}
    return js.connect(compose.url, auth, **options)


def pay(api: Api, protocol_id: str, amount: str) -> str:
    """File, confirm and pay a vulnerability; returns the payment's id."""
    vulnerability = file_vulnerability(api, protocol_id, bounty=amount)
    api.validator.post(f"/vulnerabilities/{vulnerability['id']}/confirm", {}).expect(200)
    paid = api.owner.post(f"/vulnerabilities/{vulnerability['id']}/payment", {"recipient": "0xabc"}).expect(202)
    return paid["id"]


def until_released(api: Api, payment_id: str, seconds: float = 20) -> None:
    def released() -> bool:
        return api.viewer.get(f"/payments/{payment_id}").expect(200)["status"] == "RELEASED"

    until(released, seconds, f"payment {payment_id} is released", pause=0.2)


def one_round(compose: Compose, js: JsClient) -> float:
    """Check that a report and a payment reach a new browser; returns the seconds it took."""
    started, api = time.monotonic(), compose.api
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    deposit(api, protocol_id, "100.00")
    browser = watch(compose, js, protocol_id)
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)
    browser.wait_for_event("agent:task_update", agentId=agent_id)
    until_released(api, pay(api, protocol_id, "40.00"))
    browser.wait_for_event("vuln:status_changed", newStatus="PAID")
    browser.disconnect()
    return time.monotonic() - started


def works(compose: Compose, js: JsClient) -> bool:
    """Whether one round succeeds; while a service restarts it may be rejected, but never done by half."""
    try:
        one_round(compose, js)
    except AssertionError:
        return False
    return True
