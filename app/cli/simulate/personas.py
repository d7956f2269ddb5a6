"""Who appears in a simulation: agents at work, and people who move money. Each step is one visible change."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any

import uuid_utils.compat as uuid

from app.cli.simulate.api_client import Api

TYPES = ("PROTOCOL", "RESEARCHER", "VALIDATOR")
NAMES = ("Argus", "Basilisk", "Cerberus", "Dryad", "Echidna", "Fenrir", "Griffin", "Hydra", "Ixion", "Janus")
TASKS = (
    "Map contracts", "Static analysis", "Check access control", "Fuzz token transfers", "Replay price oracle",
    "Prove invariants", "Trace reentrancy", "Review upgrade path", "Simulate flash loan", "Write report",
)  # fmt: skip
FAULTS = (("RPC_TIMEOUT", "the archive node did not answer"), ("OUT_OF_GAS", "the trace ran out of gas"))
FINDINGS = (
    "Reentrancy in withdraw()", "Unchecked return value", "Stale price accepted", "Missing slippage bound",
    "Role can be renounced by anyone", "Rounding favours the borrower", "Signature can be replayed",
)  # fmt: skip
BOUNTIES = {"CRITICAL": "5000.00", "HIGH": "1500.00", "MEDIUM": "400.00", "LOW": "75.50", "INFO": "25.00"}
REASONS = ("duplicate of an earlier finding", "works as designed", "cannot be reproduced")
FLOAT = Decimal(25000)  # what the owner keeps available: several of the largest bounties
MIN_DEPOSIT = Decimal(100)
FAILURE_CHANCE = 0.01
ROUND = ("deposit", "finding", "confirmation", "payment", "finding", "rejection")


@dataclass
class WorkingAgent:
    """An agent that walks through tasks; `report()` is its next progress report."""

    id: str
    protocol_id: str
    random: random.Random
    progress: float = 0.0
    tasks: Iterator[str] = field(init=False)
    task: str = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = self._endless_tasks()
        self.task = next(self.tasks)
        self.progress = self.random.uniform(0, 60)

    def _endless_tasks(self) -> Iterator[str]:
        while True:
            yield from self.random.sample(TASKS, len(TASKS))

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = {"protocolId": self.protocol_id, "task": self.task}
        if self.random.random() < FAILURE_CHANCE:
            code, message = self.random.choice(FAULTS)
            self._turn_to(next(self.tasks))
            return {**report, "status": "FAILED", "error": {"code": code, "message": message}}
        self.progress += self.random.uniform(1, 8)
        if self.progress >= 100:  # noqa: PLR2004 - per cent
            self._turn_to(next(self.tasks))
            return {**report, "status": "COMPLETED", "nextTask": self.task}
        return {**report, "progress": round(self.progress, 1), "estimatedCompletion": self._estimate()}

    def _turn_to(self, task: str) -> None:
        self.task, self.progress = task, 0.0

    def _estimate(self) -> str:
        moment = datetime.now(UTC) + timedelta(seconds=100 - self.progress)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class SimulatedPeople:
    """What people do, in rounds of six steps: whoever begins to watch sees every kind of change within one round.

    What comes into the pool in a round is what has left it, and as many findings are decided as are filed, so that
    it goes on for ever without a pool that runs dry or swells. All is told from what the API says is the case.
    """

    owner: Api
    validator: Api
    finders: dict[str, Api]
    protocol_id: str
    random: random.Random
    steps: Iterator[str] = field(default_factory=lambda: cycle(ROUND))

    def step(self) -> str:
        """Do the next thing and say what it was; empty when the server has no such thing or refused it."""
        deeds = {
            "deposit": self._deposit,
            "finding": self._file,
            "confirmation": self._confirm,
            "payment": self._pay,
            "rejection": self._reject,
        }
        return deeds[next(self.steps)]()

    def _deposit(self) -> str:
        pool = self._read(f"/protocols/{self.protocol_id}/pool")
        if "available" not in pool:
            return ""
        spent = FLOAT - Decimal(pool["available"])
        amount = spent if spent > 0 else MIN_DEPOSIT
        path = f"/protocols/{self.protocol_id}/deposits"
        return self._post(self.owner, path, {"amount": f"{amount:.2f}"}, "deposit")

    def _file(self) -> str:
        agent_id = self.random.choice(sorted(self.finders))
        severity = self.random.choice(sorted(BOUNTIES))
        finding = {"title": self.random.choice(FINDINGS), "severity": severity, "agentId": agent_id}
        finding["bounty"] = BOUNTIES[severity]
        path = f"/protocols/{self.protocol_id}/vulnerabilities"
        return self._post(self.finders[agent_id], path, finding, f"finding {severity}")

    def _confirm(self) -> str:
        return self._decide("confirm", {}, "confirmation")

    def _reject(self) -> str:
        return self._decide("reject", {"reason": self.random.choice(REASONS)}, "rejection")

    def _decide(self, decision: str, body: dict[str, str], deed: str) -> str:
        found = self._oldest("PENDING")
        return self._post(self.validator, f"/vulnerabilities/{found['id']}/{decision}", body, deed) if found else ""

    def _pay(self) -> str:
        found = self._oldest("CONFIRMED")
        if not found:
            return ""
        body = {"recipient": f"0x{self.random.getrandbits(160):040x}"}
        if not found.get("bounty"):
            body["amount"] = BOUNTIES["INFO"]
        return self._post(self.owner, f"/vulnerabilities/{found['id']}/payment", body, "payment")

    def _oldest(self, status: str) -> dict[str, Any]:
        items = self._read(f"/protocols/{self.protocol_id}/vulnerabilities?status={status}&limit=50").get("items", [])
        unpaid = [item for item in items if not item.get("paymentId")]
        return dict(unpaid[-1]) if unpaid else {}

    def _read(self, path: str) -> dict[str, Any]:
        response = self.owner.get(path)
        return dict(response.json()) if response.ok else {}

    def _post(self, api: Api, path: str, body: dict[str, Any], deed: str) -> str:
        return deed if api.post(path, body, key=str(uuid.uuid4())).ok else ""
