"""`dashboard simulate`: simulated agents and people, who call the public HTTP API with their own tokens."""

import logging
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from itertools import chain, cycle, repeat
from typing import Any

import click
import requests

from app.auth.permissions import Role
from app.cli.api_client import ApiClient
from app.cli.demo import SLOW_RECIPIENT, TITLES, Showcase, serve_payouts
from app.config import Config, load_config
from app.observability.telemetry import init_logging

logger = logging.getLogger(__name__)

NAMES = ("Argus", "Basilisk", "Cerberus", "Dryad", "Echidna", "Fenrir", "Griffin", "Hydra", "Ixion", "Janus")
TYPES = ("PROTOCOL", "RESEARCHER", "VALIDATOR")
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
FAILURE_CHANCE = 0.01
STEP_SECONDS = 4.0  # between the steps of people: slow enough to follow, and a round takes 24 s
MAX_AGENT_THREADS = 8


@click.command()
@click.option("--url", default="http://127.0.0.1:5000", help="where the dashboard is served")
@click.option("--protocol", default="demo", help="protocol to work for; created when it does not exist")
@click.option("--agents", default=6, type=click.IntRange(1, 1000), help="number of agents")
@click.option("--seconds", default=0.0, type=click.FloatRange(min=0), help="time to run; 0 runs until stopped")
@click.option("--rate", default=0.7, type=click.FloatRange(min=0.01, max=100), help="reports per agent and second")
@click.option("--demo", is_flag=True, help="keep each state of the page in sight, as `up --demo` does")
@click.option("--payout-port", default=0, type=click.IntRange(0, 65535), help="also serve demo payouts on this port")
def simulate(
    url: str, protocol: str, agents: int, seconds: float, rate: float, *, demo: bool, payout_port: int
) -> None:
    """Let simulated agents, validators and owners work."""
    settings = load_config()
    if not settings.signing_key:
        raise click.ClickException("simulate signs tokens itself: it cannot run with DASHBOARD_JWKS_URL")
    init_logging(settings)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of each retry
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    if payout_port:
        serve_payouts(payout_port)
    simulation = Simulation(settings, url, protocol)
    try:
        simulation.set_up(agents)
        if demo:
            simulation.add_showcase(has_payouts=payout_port > 0)
        simulation.run(rate, seconds or float("inf"))
    except requests.RequestException as error:
        raise click.ClickException(f"{url} does not answer: {error}") from error


def progress_reports(protocol_id: str, seeded: random.Random) -> Iterator[dict[str, Any]]:
    """Yield the progress reports of an agent that works through shuffled tasks, without end."""
    tasks = cycle(seeded.sample(TASKS, len(TASKS)))
    task, progress = next(tasks), seeded.uniform(0, 60)
    while True:
        report = {"protocolId": protocol_id, "task": task}
        while (is_unfinished := progress < 100) and seeded.random() > FAILURE_CHANCE:  # noqa: PLR2004 - per cent
            completion = datetime.now(UTC) + timedelta(seconds=100 - progress)
            estimate = completion.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            yield {**report, "progress": round(progress, 1), "estimatedCompletion": estimate}
            progress += seeded.uniform(1, 8)
        task, progress = next(tasks), 0.0
        if is_unfinished:
            code, message = seeded.choice(ERRORS)
            yield {**report, "status": "FAILED", "error": {"code": code, "message": message}}
        else:
            yield {**report, "status": "COMPLETED", "nextTask": task}


class SimulatedPeople:
    """The owner, the validator and the finders, who act in rounds of six steps.

    A round has every kind of change. It deposits what it pays and decides as many findings as it files, so the pool
    neither runs dry nor grows. Each step starts from the state that the API reports.
    """

    def __init__(
        self, connect: Callable[..., ApiClient], protocol_id: str, finder_ids: list[str], recipients: Iterator[str]
    ) -> None:
        self._recipients = recipients
        self._owner = connect(role=Role.OWNER, subject="simulated-owner", protocols=[protocol_id])
        self._validator = connect(role=Role.VALIDATOR, subject="simulated-validator", protocols=[protocol_id])
        self._finders = {each: connect(role=Role.AGENT, subject=each, protocols=[protocol_id]) for each in finder_ids}
        self._protocol = f"/protocols/{protocol_id}"
        self._random = random.Random()  # noqa: S311 - a simulation
        actions: list[tuple[str, Callable[[], bool]]] = [
            ("deposit", self._deposit),
            ("finding", self._file_finding),
            ("confirmation", partial(self._decide, "confirm")),
            ("payment", self._pay),
            ("finding", self._file_finding),
            ("rejection", partial(self._decide, "reject")),
        ]
        self._actions = cycle(actions)

    def step(self) -> str:
        """Take the next step and return its name; nothing when there was no object for it or the server refused it."""
        name, act = next(self._actions)
        return name if act() else ""

    def _deposit(self) -> bool:
        pool = self._owner.read(f"{self._protocol}/pool")
        missing = TARGET_AVAILABLE - Decimal(pool.get("available", TARGET_AVAILABLE))
        amount = missing if missing > 0 else 100
        return self._owner.act(f"{self._protocol}/deposits", {"amount": f"{amount:.2f}"})

    def _file_finding(self) -> bool:
        agent_id, client = self._random.choice(list(self._finders.items()))
        severity, bounty = self._random.choice(list(BOUNTIES.items()))
        finding = {"title": self._random.choice(FINDINGS), "severity": severity, "bounty": bounty, "agentId": agent_id}
        return client.act(f"{self._protocol}/vulnerabilities", finding)

    def _decide(self, decision: str) -> bool:
        finding = self._oldest("PENDING")
        body = {"reason": self._random.choice(REASONS)} if decision == "reject" else {}
        return bool(finding) and self._validator.act(f"/vulnerabilities/{finding['id']}/{decision}", body)

    def _pay(self) -> bool:
        finding = self._oldest("CONFIRMED")
        amount = finding.get("bounty") or BOUNTIES["INFO"]  # also when a cancelled payment has released the reservation
        body = {"recipient": next(self._recipients), "amount": amount}
        return bool(finding) and self._owner.act(f"/vulnerabilities/{finding['id']}/payment", body)

    def _oldest(self, status: str) -> dict[str, Any]:
        page = self._owner.read(f"{self._protocol}/vulnerabilities?status={status}&limit=50")
        unpaid = [item for item in page.get("items", []) if not item.get("paymentId") and item["title"] not in TITLES]
        return dict(unpaid[-1]) if unpaid else {}


def random_recipients() -> Iterator[str]:
    while True:
        yield f"0x{random.getrandbits(160):040x}"


class Simulation:
    """Runs agents and people in daemon threads, and counts their successful actions."""

    def __init__(self, settings: Config, url: str, protocol_id: str) -> None:
        self._connect, self._protocol_id = partial(ApiClient, settings, url), protocol_id
        self._agents: dict[str, Callable[[], str]] = {}
        self._done: Counter[str] = Counter()
        self._recipients = random_recipients()
        self._showcase: Showcase | None = None

    def set_up(self, count: int) -> None:
        """Create the protocol and the agents, or use those that exist. Raises click.ClickException when refused."""
        name = self._protocol_id.replace("-", " ").title()
        created = [("/protocols", {"id": self._protocol_id, "name": f"{name} Protocol"})]
        for index in range(count):
            agent_id = f"{self._protocol_id}-agent-{index + 1}"
            name = f"{NAMES[index % len(NAMES)]} {index // len(NAMES) + 1}"
            created.append(("/agents", {"id": agent_id, "name": name, "type": TYPES[index % len(TYPES)]}))
            client = self._connect(role=Role.AGENT, subject=agent_id, protocols=[self._protocol_id])
            seeded = random.Random(index)  # noqa: S311 - a simulation that is the same each time
            reports = progress_reports(self._protocol_id, seeded)
            self._agents[agent_id] = partial(_report, client, f"/agents/{agent_id}/progress", reports)
        admin = self._connect(role=Role.ADMIN, subject="simulate", protocols=["*"])
        for path, body in created:
            answer = admin.post(path, body)
            if not answer.ok and answer.status_code != HTTPStatus.CONFLICT:
                raise click.ClickException(f"POST {path} was answered {answer.status_code}: {answer.text[:300]}")

    def add_showcase(self, *, has_payouts: bool) -> None:
        """Keep each state of the page in sight; every second payment is then a slow one."""
        self._showcase = Showcase(self._connect, self._protocol_id, list(self._agents), has_payouts=has_payouts)
        self._showcase.set_up()
        if has_payouts:
            self._recipients = chain.from_iterable(zip(self._recipients, repeat(SLOW_RECIPIENT)))

    def create_people(self) -> SimulatedPeople:
        return SimulatedPeople(self._connect, self._protocol_id, list(self._agents)[:3], self._recipients)

    def run(self, rate: float, seconds: float) -> None:
        """Run for `seconds`; `rate` is in reports per agent and second."""
        work = [([self.create_people().step], STEP_SECONDS)]
        if self._showcase:
            work += [([self._showcase.step], STEP_SECONDS), ([self._showcase.report], STEP_SECONDS / 2)]
        for first in range(min(MAX_AGENT_THREADS, len(self._agents))):
            reports = list(self._agents.values())[first::MAX_AGENT_THREADS]
            work.append((reports, 1 / (rate * len(reports))))
        for actions, pause in work:
            threading.Thread(target=self._act, args=(actions, pause), daemon=True).start()
        ends = time.monotonic() + seconds
        while (remaining := ends - time.monotonic()) > 0:
            time.sleep(min(30.0, remaining))
            logger.info("simulation.summarised", extra=dict(self._done))

    def _act(self, actions: list[Callable[[], str]], seconds: float) -> None:
        """Take an action each `seconds`. After an error, pause: a simulation outlives restarts of the server."""
        for action in cycle(actions):
            began = time.monotonic()
            try:
                if done := action():
                    self._done[done] += 1
            except requests.RequestException as error:
                logger.warning("simulation.action_failed", extra={"error": str(error)})
                time.sleep(2)
            time.sleep(max(seconds - (time.monotonic() - began), 0.0))


def _report(client: ApiClient, path: str, reports: Iterator[dict[str, Any]]) -> str:
    """Send the next report; return its status, or `refused`."""
    body = next(reports)
    return body.get("status", "RUNNING").lower() if client.post(path, body).ok else "refused"
