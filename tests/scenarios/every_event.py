"""One event of every type and change, for claims about all of them."""

from dataclasses import dataclass

from tests.factories import deposit, file_vulnerability, make_agent, report
from tests.support.js_client import Event, JsClient
from tests.support.stack import Stack

EVERY_CHANGE = {
    ("agent:task_update", "RUNNING"),
    ("agent:task_update", "FAILED"),
    ("agent:task_update", "COMPLETED"),
    ("bounty_pool:updated", "DEPOSIT"),
    ("bounty_pool:updated", "RESERVATION"),
    ("bounty_pool:updated", "RESERVATION_RELEASED"),
    ("bounty_pool:updated", "PAYMENT_RELEASED"),
    ("vuln:discovered", "PENDING"),
    ("vuln:status_changed", "CONFIRMED"),
    ("vuln:status_changed", "REJECTED"),
    ("vuln:status_changed", "PAID"),
    ("payment:status_changed", "PENDING"),
    ("payment:status_changed", "RELEASED"),
}


@dataclass(frozen=True)
class RoomEvents:
    protocol_id: str
    events: list[Event]


def kind(event: Event) -> tuple[str, str]:
    data = event.data
    return event.name, data.get("changeType") or data.get("newStatus") or data["status"]


def emit_every_event(stack: Stack, js: JsClient, protocol_id: str) -> list[Event]:
    """Make every change that emits an event; returns the events a viewer received, in order."""
    viewer = stack.watch(js, protocol_id)
    _report_progress(stack, protocol_id)
    _pay_one_vulnerability_and_reject_another(stack, protocol_id)
    viewer.client.wait(
        lambda: {kind(event) for event in viewer.events()} >= EVERY_CHANGE,
        30,
        f"all of {EVERY_CHANGE} arrive",
    )
    return viewer.events()


def _report_progress(stack: Stack, protocol_id: str) -> None:
    failed = {"status": "FAILED", "error": {"code": "E1", "message": "gone"}}
    estimate = {"estimatedCompletion": "2031-05-06T07:08:09.123+05:30"}
    for ending in ({"status": "COMPLETED", "nextTask": "fuzz"}, failed, estimate):
        agent_id = make_agent(stack.api)
        body = report(protocol_id, "scan", 33.3, **ending)
        stack.api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)


def _pay_one_vulnerability_and_reject_another(stack: Stack, protocol_id: str) -> None:
    deposit(stack.api, protocol_id, "1000.123456", reference="first deposit")
    paid = file_vulnerability(stack.api, protocol_id, severity="CRITICAL", bounty="0.123456")
    rejected = file_vulnerability(stack.api, protocol_id, bounty="20")
    reason = {"reason": "not exploitable"}
    stack.api.validator.post(f"/vulnerabilities/{rejected['id']}/reject", reason).expect(200)
    stack.api.validator.post(f"/vulnerabilities/{paid['id']}/confirm", {}).expect(200)
    stack.api.owner.post(f"/vulnerabilities/{paid['id']}/payment", {"recipient": "0xabc"}).expect(202)
