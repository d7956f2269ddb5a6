"""The personas of a simulation: agents at work, and people who move money. Each step is one visible change.

They call the public HTTP API as agents would: with tokens, keep-alive and retries with backoff.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any

import requests
import uuid_utils.compat as uuid
from requests.adapters import HTTPAdapter
from urllib3 import Retry

RENEW_TOKEN_SECONDS = 3600.0
RETRIES = Retry(
    total=8,
    backoff_factor=0.2,
    backoff_max=5.0,
    backoff_jitter=0.2,  # spreads callers
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=None,  # all
    raise_on_status=False,
)
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


class ApiClient:
    """One caller with its connection and its token. Not thread-safe. Its calls raise requests.RequestException."""

    def __init__(self, url: str, make_token: Callable[[], str]) -> None:
        self._url, self._make_token = url.rstrip("/") + "/api/v1", make_token
        self._token, self._renew_at = "", 0.0
        self._session = requests.Session()
        self._session.auth = self._authorize
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=RETRIES))

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if time.monotonic() >= self._renew_at:
            self._token, self._renew_at = self._make_token(), time.monotonic() + RENEW_TOKEN_SECONDS
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def get(self, path: str) -> requests.Response:
        return self._session.get(self._url + path, timeout=(3, 10))

    def post(self, path: str, body: dict[str, Any], *, key: str = "") -> requests.Response:
        """With an Idempotency-Key, a repeated request takes effect once."""
        headers = {"Idempotency-Key": key} if key else None
        return self._session.post(self._url + path, json=body, headers=headers, timeout=(3, 10))


class SimulatedAgent:
    """An agent that works through shuffled tasks."""

    def __init__(self, agent_id: str, client: ApiClient, protocol_id: str, seeded: random.Random) -> None:
        self.id, self._client, self._protocol_id, self._random = agent_id, client, protocol_id, seeded
        self._tasks = cycle(seeded.sample(TASKS, len(TASKS)))
        self._task, self._progress = next(self._tasks), seeded.uniform(0, 60)

    def report(self) -> str:
        """Report some work; returns the reported status, or `refused`."""
        body = self._next_report()
        accepted = self._client.post(f"/agents/{self.id}/progress", body).ok
        return str(body.get("status", "RUNNING")).lower() if accepted else "refused"

    def _next_report(self) -> dict[str, Any]:
        report: dict[str, Any] = {"protocolId": self._protocol_id, "task": self._task}
        self._progress += self._random.uniform(1, 8)
        has_failed = self._random.random() < FAILURE_CHANCE
        if self._progress < 100 and not has_failed:  # noqa: PLR2004 - per cent
            completion = datetime.now(UTC) + timedelta(seconds=100 - self._progress)
            estimate = completion.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return {**report, "progress": round(self._progress, 1), "estimatedCompletion": estimate}
        self._task, self._progress = next(self._tasks), 0.0
        if not has_failed:
            return {**report, "status": "COMPLETED", "nextTask": self._task}
        code, message = self._random.choice(ERRORS)
        return {**report, "status": "FAILED", "error": {"code": code, "message": message}}


class SimulatedPeople:
    """The owner, the validator and the finders, who act in rounds of six steps.

    A round has every kind of change. It deposits what it pays and decides as many findings as it files, so the pool
    neither runs dry nor grows. Each step starts from the state that the API reports.
    """

    def __init__(self, owner: ApiClient, validator: ApiClient, finders: dict[str, ApiClient], protocol_id: str) -> None:
        self._owner, self._validator, self._finders = owner, validator, finders
        self._protocol = f"/protocols/{protocol_id}"
        self._random = random.Random()  # noqa: S311 - a simulation
        self._steps = cycle(ROUND)

    def step(self) -> str:
        """Take the next step and return its name; nothing when there was no object for it or the server refused it."""
        actions: dict[str, Callable[[], bool]] = {
            "deposit": self._deposit,
            "finding": self._file_finding,
            "confirmation": lambda: self._decide("confirm", {}),
            "payment": self._pay,
            "rejection": lambda: self._decide("reject", {"reason": self._random.choice(REASONS)}),
        }
        name = next(self._steps)
        return name if actions[name]() else ""

    def _deposit(self) -> bool:
        pool = self._read(f"{self._protocol}/pool")
        if "available" not in pool:
            return False
        missing = TARGET_AVAILABLE - Decimal(pool["available"])
        amount = missing if missing > 0 else MIN_DEPOSIT
        return _post(self._owner, f"{self._protocol}/deposits", {"amount": f"{amount:.2f}"})

    def _file_finding(self) -> bool:
        agent_id, client = self._random.choice(list(self._finders.items()))
        severity, bounty = self._random.choice(list(BOUNTIES.items()))
        finding = {"title": self._random.choice(FINDINGS), "severity": severity, "bounty": bounty, "agentId": agent_id}
        return _post(client, f"{self._protocol}/vulnerabilities", finding)

    def _decide(self, decision: str, body: dict[str, str]) -> bool:
        found = self._oldest("PENDING")
        return bool(found) and _post(self._validator, f"/vulnerabilities/{found['id']}/{decision}", body)

    def _pay(self) -> bool:
        found = self._oldest("CONFIRMED")
        body = {"recipient": f"0x{self._random.getrandbits(160):040x}"}
        if not found.get("bounty"):
            body["amount"] = BOUNTIES["INFO"]
        return bool(found) and _post(self._owner, f"/vulnerabilities/{found['id']}/payment", body)

    def _oldest(self, status: str) -> dict[str, Any]:
        items = self._read(f"{self._protocol}/vulnerabilities?status={status}&limit=50").get("items", [])
        unpaid = [item for item in items if not item.get("paymentId")]
        return dict(unpaid[-1]) if unpaid else {}

    def _read(self, path: str) -> dict[str, Any]:
        response = self._owner.get(path)
        return dict(response.json()) if response.ok else {}


def _post(client: ApiClient, path: str, body: dict[str, Any]) -> bool:
    return client.post(path, body, key=str(uuid.uuid4())).ok
