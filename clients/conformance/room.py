"""The protocol's room behind the scripted server: its state, and the events that each change of it causes.

The room follows the contract: every change raises the version of what it concerns, every event the room's `seq`.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

PROTOCOL = "P1"
NAME = "Größe · 規模 · 🛡"  # its UTF-8 has characters of two, three and four bytes, which a chunk boundary may split
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO")
STATUSES = ("PENDING", "CONFIRMED", "PAID", "REJECTED")
OPEN = ("PENDING", "CONFIRMED")

Event = dict[str, Any]
Change = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def money(amount: Decimal) -> str:
    return f"{amount:.2f}"


@dataclass
class Room:
    """`seq` and `version` are the numbers that the room begins with; each object's first version is `version + 1`."""

    seq: int = 10
    version: int = 0
    agents_truncated: bool = False
    total: Decimal = Decimal("1000.00")
    reserved: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    agents: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    pool_version: int = field(init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        self.pool_version = self.version + 1

    def change(self, change: Change) -> list[Event]:
        """Apply `{kind: argument}`, such as `{deposit: "50"}`, and return its events in order."""
        [(kind, argument)] = change.items()
        with self._lock:
            events: list[Event] = getattr(self, f"_{kind}")(argument)
            return [self.event(each["eventType"], each["data"]) for each in events]

    def event(self, event_type: str, data: dict[str, Any]) -> Event:
        self.seq += 1
        envelope = {"eventType": event_type, "timestamp": now(), "protocolId": PROTOCOL, "seq": str(self.seq)}
        return {**envelope, "data": data}

    def state(self) -> dict[str, Any]:
        """The room in the form of `GET /protocols/{id}/state`. For any thread."""
        with self._lock:
            return self._state()

    def _state(self) -> dict[str, Any]:
        counts = Counter(each["status"] for each in self.findings.values())
        severities = Counter(each["severity"] for each in self.findings.values())
        return {
            "protocol": {"id": PROTOCOL, "name": NAME, "currency": "USDC", "createdAt": "2026-11-01T00:00:00.000Z"},
            "seq": str(self.seq),
            "asOf": now(),
            "pool": {"protocolId": PROTOCOL, **self._pool()},
            "agents": [dict(each) for each in self.agents.values()],
            "agentsTruncated": self.agents_truncated,
            "vulnerabilities": {
                "open": [dict(each) for each in reversed(self.findings.values()) if each["status"] in OPEN],
                "openTruncated": False,
                "counts": {
                    "total": str(len(self.findings)),
                    "bySeverity": {each: str(severities[each]) for each in SEVERITIES},
                    "byStatus": {each: str(counts[each]) for each in STATUSES},
                },
            },
            "payments": [dict(each) for each in reversed(self.payments.values())],
        }

    def _pool(self) -> dict[str, str]:
        amounts = {"total": self.total, "reserved": self.reserved, "paid": self.paid}
        amounts["available"] = self.total - self.reserved - self.paid
        texts = {name: money(amount) for name, amount in amounts.items()}
        return {"currency": "USDC", **texts, "version": str(self.pool_version)}

    def _pool_event(self, change_type: str, amount: Decimal, **more: str) -> Event:
        self.pool_version += 1
        data = {"changeType": change_type, "amount": money(amount), **self._pool(), **more}
        return {"eventType": "bounty_pool:updated", "data": data}

    def _report(self, report: dict[str, Any]) -> list[Event]:
        """`{agent, task, progress, status?, error?}`: a task update of an agent."""
        agent_id = report.get("agent", "A1")
        held = self.agents.get(agent_id, {"version": str(self.version)})
        data = {"agentId": agent_id, "task": report.get("task", "scan"), "progress": str(report["progress"])}
        data |= {"status": report.get("status", "RUNNING"), "error": report.get("error")}
        data |= {"estimatedCompletion": None, "nextTask": None, "version": str(int(held["version"]) + 1)}
        known = {"name": f"Agent {agent_id}", "type": "RESEARCHER", "presence": "ONLINE", "lastSeen": now()}
        self.agents[agent_id] = {**known, **data}
        return [{"eventType": "agent:task_update", "data": data}]

    def _deposit(self, amount: str) -> list[Event]:
        self.total += Decimal(amount)
        return [self._pool_event("DEPOSIT", Decimal(amount), reference="treasury")]

    def _file(self, finding: dict[str, Any]) -> list[Event]:
        """`{id, title?, severity?, bounty?}`: a vulnerability, with a reservation if it has a bounty."""
        bounty = Decimal(finding["bounty"]) if "bounty" in finding else None
        at = now()
        data = {"title": finding.get("title", finding["id"]), "severity": finding.get("severity", "HIGH")}
        data |= {"status": "PENDING", "bounty": None if bounty is None else money(bounty), "agentId": None}
        data |= {"version": str(self.version + 1), "createdAt": at}
        more = {"protocolId": PROTOCOL, "description": None, "rejectionReason": None, "paymentId": None}
        held = {"id": finding["id"], **data, **more, "updatedAt": at, "reserved": money(bounty or Decimal(0))}
        self.findings[finding["id"]] = held
        events = [{"eventType": "vuln:discovered", "data": {"vulnerabilityId": finding["id"], **data}}]
        if bounty is not None:
            self.reserved += bounty
            events.append(self._pool_event("RESERVATION", bounty, vulnerabilityId=finding["id"]))
        return events

    def _confirm(self, finding_id: str) -> list[Event]:
        return [self._decide(finding_id, "CONFIRMED")]

    def _reject(self, finding_id: str) -> list[Event]:
        decided = self._decide(finding_id, "REJECTED", rejectionReason="Duplicate.")
        bounty = Decimal(self.findings[finding_id]["bounty"] or 0)
        if not bounty:
            return [decided]
        self.reserved -= bounty
        return [self._pool_event("RESERVATION_RELEASED", bounty, vulnerabilityId=finding_id), decided]

    def _decide(self, finding_id: str, status: str, **more: str) -> Event:
        held = self.findings[finding_id]
        version = str(int(held["version"]) + 1)
        data = {"vulnerabilityId": finding_id, "oldStatus": held["status"], "newStatus": status, **more}
        data |= {"severity": held["severity"], "version": version, "changedAt": now()}
        held |= {"status": status, "version": version, "updatedAt": data["changedAt"]}
        return {"eventType": "vuln:status_changed", "data": data}

    def _request_payment(self, finding_id: str) -> list[Event]:
        held, payment_id = self.findings[finding_id], f"pay-{finding_id}"
        payment = {"id": payment_id, "vulnerabilityId": finding_id, "protocolId": PROTOCOL, "amount": held["bounty"]}
        payment |= {"currency": "USDC", "recipient": "0x5290", "status": "PENDING", "failureReason": None}
        payment |= {"lastError": None, "attempts": "0", "version": str(self.version + 1), "createdAt": now()}
        self.payments[payment_id] = {**payment, "releasedAt": None}
        held["paymentId"] = payment_id
        return [self._payment_event(self.payments[payment_id], None)]

    def _fail_payment(self, finding_id: str) -> list[Event]:
        return [self._move_payment(finding_id, "FAILED", failureReason="The account is closed.", attempts="1")]

    def _retry_payment(self, finding_id: str) -> list[Event]:
        return [self._move_payment(finding_id, "PENDING", failureReason=None)]

    def _cancel_payment(self, finding_id: str) -> list[Event]:
        """Give back what was reserved for a failed payment; the vulnerability may be paid anew."""
        amount = Decimal(self.payments[f"pay-{finding_id}"]["amount"])
        self.reserved -= amount
        self.findings[finding_id]["paymentId"] = None
        released = self._pool_event("RESERVATION_RELEASED", amount, vulnerabilityId=finding_id)
        return [self._move_payment(finding_id, "CANCELLED"), released]

    def _move_payment(self, finding_id: str, status: str, **more: str | None) -> Event:
        payment = self.payments[f"pay-{finding_id}"]
        old = payment["status"]
        payment |= {"status": status, "version": str(int(payment["version"]) + 1), **more}
        return self._payment_event(payment, old)

    def _pay(self, finding_id: str) -> list[Event]:
        """Release the payment that was requested for the vulnerability."""
        payment = self.payments[f"pay-{finding_id}"]
        amount = Decimal(payment["amount"])
        self.reserved -= amount
        self.paid += amount
        ids = {"vulnerabilityId": finding_id, "paymentId": payment["id"]}
        released = self._pool_event("PAYMENT_RELEASED", amount, **ids)
        paid = self._decide(finding_id, "PAID", paymentAmount=payment["amount"], paymentId=payment["id"])
        return [released, self._move_payment(finding_id, "RELEASED", releasedAt=now()), paid]

    @staticmethod
    def _payment_event(payment: dict[str, Any], old: str | None) -> Event:
        same = ("vulnerabilityId", "amount", "currency", "failureReason", "attempts", "version")
        data = {"paymentId": payment["id"], "oldStatus": old, "newStatus": payment["status"], "changedAt": now()}
        return {"eventType": "payment:status_changed", "data": data | {name: payment[name] for name in same}}
