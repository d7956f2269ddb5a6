"""What `dashboard up --demo` shows besides the simulation, so that each state of the page is in sight within a minute.

A critical finding waits for its decision, a payment was refused, one agent fails again and again, another one has a
queue, and there are a quiet and an empty protocol. What a visitor decides, retries or cancels is made anew.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from threading import Lock, Thread
from typing import Any, ClassVar

from app.auth.permissions import Role
from app.cli.api_client import ApiClient

logger = logging.getLogger(__name__)

REFUSED_RECIPIENT = "0x000000000000000000000000000000000000dEaD"
SLOW_RECIPIENT = "0x5105105105105105105105105105105105105105"
REFUSAL = "the recipient's account is closed; ask the finder for another one"
SLOW_ATTEMPTS = 4  # with the worker's pauses, about 15 s of "being tried again"
MAX_COUNTED = 1000
MAX_BODY = 64 * 1024

CRITICAL = "Anybody can drain the vault through migrate()"
UNPAYABLE = "Liquidation pays the bonus twice"
TITLES = frozenset({CRITICAL, UNPAYABLE})  # the simulated people leave these to the visitor
DESCRIPTION = """\
`migrate()` trusts the **caller's** `target` contract and approves it for the whole balance.

## Steps

1. Deploy a contract whose `deposit()` keeps the allowance.
2. Call `migrate(target, shares)` with one share.
3. Call `transferFrom(vault, attacker, balance)`.

```solidity
asset.approve(target, type(uint256).max); // never revoked
ITarget(target).deposit(amount);
```

Every depositor's funds are at risk; pausing `migrate()` stops it.
"""
QUEUE = ("Compare with the last audit", "Fuzz the new oracle", "Write report")
TRACE = """\
forge test --match-test testMigrate failed
  [FAIL. Reason: EvmError: OutOfGas] testMigrate() (gas: 30000000)
  at Vault.migrate (src/Vault.sol:214)
  at Router.sweep (src/Router.sol:88)"""
FAILED_ROUNDS = 12  # for how many steps the agent stays failed


class DemoPayouts(BaseHTTPRequestHandler):
    """A payout service that moves nothing: it pays everybody but `REFUSED_RECIPIENT`, and `SLOW_RECIPIENT` late."""

    timeout = 5
    attempts: ClassVar[Counter[str]] = Counter()
    lock: ClassVar[Lock] = Lock()

    def do_POST(self) -> None:
        given = self.headers.get("Content-Length", "")
        length = int(given) if given.isdecimal() else 0
        try:
            payout = json.loads(self.rfile.read(length if length <= MAX_BODY else 0))
            self._answer(*self._decide(str(payout["paymentId"]), payout["recipient"]))
        except (ValueError, TypeError, KeyError):
            self._answer(HTTPStatus.BAD_REQUEST, "this is no payout")

    def _decide(self, payment_id: str, recipient: str) -> tuple[HTTPStatus, str]:
        if recipient.lower() == REFUSED_RECIPIENT.lower():
            return HTTPStatus.UNPROCESSABLE_ENTITY, REFUSAL
        if recipient == SLOW_RECIPIENT and self._count(payment_id) <= SLOW_ATTEMPTS:
            return HTTPStatus.SERVICE_UNAVAILABLE, "the payment network is congested"
        return HTTPStatus.OK, json.dumps({"reference": f"demo-{payment_id[-12:]}"})

    def _count(self, payment_id: str) -> int:
        with self.lock:
            if len(self.attempts) >= MAX_COUNTED:
                self.attempts.clear()
            self.attempts[payment_id] += 1
            return self.attempts[payment_id]

    def _answer(self, status: HTTPStatus, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Log nothing: the worker logs each payment."""


def serve_payouts(port: int) -> None:
    """Serve the demo's payouts on this machine, in a daemon thread. Raises OSError."""
    Thread(target=ThreadingHTTPServer(("127.0.0.1", port), DemoPayouts).serve_forever, daemon=True).start()


class Showcase:
    """Keeps each state in sight; `agent_ids` are the simulated agents, the first of which finds and has a queue."""

    def __init__(
        self, connect: Callable[..., ApiClient], protocol_id: str, agent_ids: list[str], *, has_payouts: bool
    ) -> None:
        self._id, self._has_payouts, self._finder_id = protocol_id, has_payouts, agent_ids[0]
        self._failing_id = f"{protocol_id}-agent-failing"
        self._admin, self._owner, self._validator = (
            connect(role=role, subject=f"showcase-{role}", protocols=["*"])
            for role in (Role.ADMIN, Role.OWNER, Role.VALIDATOR)
        )
        self._failing = connect(role=Role.AGENT, subject=self._failing_id, protocols=[protocol_id])
        self._reports = _failing_reports(protocol_id)

    def set_up(self) -> None:
        """Create the other protocols, the failing agent and the queue, unless they exist."""
        bridge, vault = f"{self._id}-bridge", f"{self._id}-vault"
        self._admin.post("/protocols", {"id": bridge, "name": "Quiet Bridge", "currency": "DAI"})
        self._admin.post("/protocols", {"id": vault, "name": "Empty Vault", "currency": "EURC"})
        self._admin.post("/agents", {"id": self._failing_id, "name": "Kraken 1", "type": "RESEARCHER"})
        if not self._admin.read(f"/protocols/{bridge}/pool/entries?limit=1").get("items"):
            self._owner.act(f"/protocols/{bridge}/deposits", {"amount": "8000.00", "reference": "treasury"})
            for severity, bounty in (("HIGH", "1200.00"), ("LOW", "80.00")):
                finding = {"title": f"Message {severity.lower()} bits are not checked", "severity": severity}
                self._admin.act(f"/protocols/{bridge}/vulnerabilities", finding | {"bounty": bounty})
        path = f"/agents/{self._finder_id}/tasks"
        if not self._admin.read(f"{path}?closed=false").get("items"):
            for name in QUEUE:
                self._admin.act(path, {"protocolId": self._id, "name": name})

    def step(self) -> str:
        """Make anew what a visitor has decided; return what was made, or nothing."""
        done = [self._keep_critical()]
        if self._has_payouts:
            done.append(self._keep_refused_payment())
        return " ".join(filter(None, done))

    def report(self) -> str:
        """Send the failing agent's next report, if one is due."""
        body = next(self._reports)
        if body is None:
            return ""
        return "failure" if self._failing.post(f"/agents/{self._failing_id}/progress", body).ok else "refused"

    def _keep_critical(self) -> str:
        if self._find(CRITICAL, "PENDING"):
            return ""
        finding = {"title": CRITICAL, "severity": "CRITICAL", "description": DESCRIPTION}
        return "critical" if self._file(finding) else ""

    def _keep_refused_payment(self) -> str:
        """One payment to an account that the payout service refuses: filed, confirmed and paid one step at a time."""
        payments = self._owner.read(f"/protocols/{self._id}/payments?limit=200").get("items", [])
        refused = [each for each in payments if each["recipient"] == REFUSED_RECIPIENT]
        if any(each["status"] in ("PENDING", "PROCESSING", "FAILED") for each in refused):
            return ""
        # A finding whose payment was cancelled is the visitor's to pay anew.
        offered = {each["vulnerabilityId"] for each in refused}
        if confirmed := self._find(UNPAYABLE, "CONFIRMED", offered):
            path, body = (
                f"/vulnerabilities/{confirmed['id']}/payment",
                {"recipient": REFUSED_RECIPIENT, "amount": confirmed["bounty"]},
            )
            return "refused payment" if self._owner.act(path, body) else ""
        if pending := self._find(UNPAYABLE, "PENDING"):
            self._validator.act(f"/vulnerabilities/{pending['id']}/confirm", {})
        else:
            self._file({"title": UNPAYABLE, "severity": "HIGH", "bounty": "1500.00"})
        return ""

    def _file(self, finding: dict[str, Any]) -> bool:
        return self._admin.act(f"/protocols/{self._id}/vulnerabilities", finding | {"agentId": self._finder_id})

    def _find(self, title: str, status: str, without: Collection[str] = ()) -> dict[str, Any] | None:
        page = self._admin.read(f"/protocols/{self._id}/vulnerabilities?status={status}&limit=200")
        unpaid = (each for each in page.get("items", []) if not each.get("paymentId") and each["id"] not in without)
        return next((each for each in unpaid if each["title"] == title), None)


def _failing_reports(protocol_id: str) -> Iterator[dict[str, Any] | None]:
    """Yield the reports of an agent whose task fails each time; None while it stays failed."""
    report = {"protocolId": protocol_id, "task": "Prove migrate() safe"}
    running = [{**report, "progress": progress} for progress in (20, 45, 70)]
    failed = {**report, "status": "FAILED", "error": {"code": "OUT_OF_GAS", "message": TRACE}}
    return cycle([*running, failed, *[None] * FAILED_ROUNDS])
