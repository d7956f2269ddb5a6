"""The personas of a simulation: agents at work, and people who move money. Each step is one visible change."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any

import uuid_utils.compat as uuid

from app.cli.simulate.api_client import ApiClient

TYPES = ("PROTOCOL", "RESEARCHER", "VALIDATOR")
NAMES = ("Argus", "Basilisk", "Cerberus", "Dryad", "Echidna", "Fenrir", "Griffin", "Hydra", "Ixion", "Janus")
TASKS = (
    "Map contracts", "Static analysis", "Check access control", "Fuzz token transfers", "Replay price oracle",
    "Prove invariants", "Trace reentrancy", "Review upgrade path", "Simulate flash loan", "Write report",
)  # fmt: skip
ERRORS = (("RPC_TIMEOUT", "the archive node did not answer"), ("OUT_OF_GAS", "the trace ran out of gas"))
FINDINGS = (
    "Reentrancy in withdraw()", "Unchecked return value", "Stale price accepted", "Missing slippage bound",
    "Role can be renounced by anyone", "Rounding favours the borrower", "Signature can be replayed",
)  # fmt: skip
BOUNTIES = {"CRITICAL": "5000.00", "HIGH": "1500.00", "MEDIUM": "400.00", "LOW": "75.50", "INFO": "25.00"}
REASONS = ("duplicate of an earlier finding", "works as designed", "cannot be reproduced")
TARGET_AVAILABLE = Decimal(25000)  # several of the largest bounties
MIN_DEPOSIT = Decimal(100)
FAILURE_CHANCE = 0.01
ROUND = ("deposit", "finding", "confirmation", "payment", "finding", "rejection")


@dataclass
class SimulatedAgent:
    """An agent that works through shuffled tasks."""

    id: str
    protocol_id: str
    random: random.Random
    progress: float = field(init=False)
    task: str = field(init=False)

    def __post_init__(self) -> None:
        self._tasks = self._shuffled_tasks()
        self.task, self.progress = next(self._tasks), self.random.uniform(0, 60)

    def _shuffled_tasks(self) -> Iterator[str]:
        while True:
            yield from self.random.sample(TASKS, len(TASKS))

    def next_report(self) -> dict[str, Any]:
        """Do some work and return the body of the progress report about it."""
        report: dict[str, Any] = {"protocolId": self.protocol_id, "task": self.task}
        if self.random.random() < FAILURE_CHANCE:
            code, message = self.random.choice(ERRORS)
            self._start_next_task()
            return {**report, "status": "FAILED", "error": {"code": code, "message": message}}
        self.progress += self.random.uniform(1, 8)
        if self.progress >= 100:  # noqa: PLR2004 - per cent
            self._start_next_task()
            return {**report, "status": "COMPLETED", "nextTask": self.task}
        completion = datetime.now(UTC) + timedelta(seconds=100 - self.progress)
        estimate = completion.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {**report, "progress": round(self.progress, 1), "estimatedCompletion": estimate}

    def _start_next_task(self) -> None:
        self.task, self.progress = next(self._tasks), 0.0


@dataclass
class SimulatedPeople:
    """The owner, the validator and the finders, who act in rounds of six steps.

    A round has every kind of change. It deposits what it pays and decides as many findings as it files, so the pool
    neither runs dry nor grows. Each step starts from the state that the API reports.
    """

    owner: ApiClient
    validator: ApiClient
    finders: dict[str, ApiClient]
    protocol_id: str
    random: random.Random

    def __post_init__(self) -> None:
        self._steps = cycle(ROUND)

    def step(self) -> str:
        """Take the next step and return its name; nothing when there was no object for it or the server refused it."""
        actions: dict[str, Callable[[], bool]] = {
            "deposit": self._deposit,
            "finding": self._file_finding,
            "confirmation": lambda: self._decide("confirm", {}),
            "payment": self._pay,
            "rejection": lambda: self._decide("reject", {"reason": self.random.choice(REASONS)}),
        }
        name = next(self._steps)
        return name if actions[name]() else ""

    def _deposit(self) -> bool:
        path = f"/protocols/{self.protocol_id}"
        pool = self._read(f"{path}/pool")
        if "available" not in pool:
            return False
        missing = TARGET_AVAILABLE - Decimal(pool["available"])
        amount = missing if missing > 0 else MIN_DEPOSIT
        return _post(self.owner, f"{path}/deposits", {"amount": f"{amount:.2f}"})

    def _file_finding(self) -> bool:
        agent_id, severity = self.random.choice(sorted(self.finders)), self.random.choice(sorted(BOUNTIES))
        finding = {"title": self.random.choice(FINDINGS), "severity": severity, "agentId": agent_id}
        finding["bounty"] = BOUNTIES[severity]
        return _post(self.finders[agent_id], f"/protocols/{self.protocol_id}/vulnerabilities", finding)

    def _decide(self, decision: str, body: dict[str, str]) -> bool:
        found = self._oldest("PENDING")
        return bool(found) and _post(self.validator, f"/vulnerabilities/{found['id']}/{decision}", body)

    def _pay(self) -> bool:
        found = self._oldest("CONFIRMED")
        if not found:
            return False
        body = {"recipient": f"0x{self.random.getrandbits(160):040x}"}
        if not found.get("bounty"):
            body["amount"] = BOUNTIES["INFO"]
        return _post(self.owner, f"/vulnerabilities/{found['id']}/payment", body)

    def _oldest(self, status: str) -> dict[str, Any]:
        items = self._read(f"/protocols/{self.protocol_id}/vulnerabilities?status={status}&limit=50").get("items", [])
        unpaid = [item for item in items if not item.get("paymentId")]
        return dict(unpaid[-1]) if unpaid else {}

    def _read(self, path: str) -> dict[str, Any]:
        response = self.owner.get(path)
        return dict(response.json()) if response.ok else {}


def _post(client: ApiClient, path: str, body: dict[str, Any]) -> bool:
    return client.post(path, body, key=str(uuid.uuid4())).ok
