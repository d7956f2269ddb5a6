"""`dashboard simulate`: simulated agents and people, who call the public HTTP API with their own tokens."""

import logging
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from itertools import cycle
from typing import Any

import click
import requests

from app.auth.permissions import Role
from app.auth.tokens import issue
from app.cli.simulate.api_client import ApiClient
from app.cli.simulate.personas import NAMES, TYPES, SimulatedAgent, SimulatedPeople
from app.config import Config, load_config
from app.observability.telemetry import init_logging

logger = logging.getLogger(__name__)

TOKEN_SECONDS = 24 * 3600
STEP_SECONDS = 4.0  # between the steps of people: slow enough to follow, and a round takes 24 s
SUMMARY_SECONDS = 30.0
PAUSE_AFTER_ERROR_SECONDS = 2.0
MAX_AGENT_THREADS = 8


@click.command()
@click.option("--url", default="http://127.0.0.1:5000", help="where the dashboard is served")
@click.option("--protocol", default="demo", help="protocol to work for; created when it does not exist")
@click.option("--agents", default=6, type=click.IntRange(1, 1000), help="number of agents")
@click.option("--seconds", default=0.0, type=click.FloatRange(min=0), help="time to run; 0 runs until stopped")
@click.option("--rate", default=0.7, type=click.FloatRange(min=0.01, max=100), help="reports per agent and second")
def simulate(url: str, protocol: str, agents: int, seconds: float, rate: float) -> None:
    """Let simulated agents, validators and owners work."""
    settings = load_config()
    if not settings.signing_key:
        raise click.ClickException("simulate signs tokens itself: it cannot run with DASHBOARD_JWKS_URL")
    init_logging(settings)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of each retry
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: sys.exit(0))
    simulation = Simulation(settings, url, protocol)
    try:
        simulation.set_up(agents)
        simulation.run(rate, seconds or float("inf"))
    except requests.RequestException as error:
        raise click.ClickException(f"{url} does not answer: {error}") from error


class Simulation:
    """Runs the personas in daemon threads, and counts their successful actions."""

    def __init__(self, settings: Config, url: str, protocol_id: str) -> None:
        self._settings, self._url, self._protocol_id = settings, url, protocol_id
        self._agents: list[SimulatedAgent] = []
        self._done: Counter[str] = Counter()

    def set_up(self, count: int) -> None:
        """Create the protocol and the agents, or use those that exist. Raises click.ClickException when refused."""
        admin = self._client(Role.ADMIN, "simulate", "*")
        name = self._protocol_id.replace("-", " ").title()
        _ensure(admin, "/protocols", {"id": self._protocol_id, "name": f"{name} Protocol"})
        for index in range(count):
            agent_id = f"{self._protocol_id}-agent-{index + 1}"
            name = f"{NAMES[index % len(NAMES)]} {index // len(NAMES) + 1}"
            _ensure(admin, "/agents", {"id": agent_id, "name": name, "type": TYPES[index % len(TYPES)]})
            seeded = random.Random(index)  # noqa: S311 - a simulation that is the same each time
            self._agents.append(SimulatedAgent(agent_id, self._protocol_id, seeded))

    def _client(self, role: Role, subject: str, protocol_id: str = "") -> ApiClient:
        grants = [protocol_id or self._protocol_id]

        def make_token() -> str:
            return issue(self._settings, subject=subject, role=role, protocols=grants, ttl_seconds=TOKEN_SECONDS)

        return ApiClient(self._url, make_token)

    def run(self, rate: float, seconds: float) -> None:
        """Run for `seconds`; `rate` is in reports per agent and second."""
        for first in range(min(MAX_AGENT_THREADS, len(self._agents))):
            group = self._agents[first::MAX_AGENT_THREADS]
            self._start_thread(self._agent_actions(group), 1 / (rate * len(group)))
        self._start_thread(cycle([self.create_people().step]), STEP_SECONDS)
        ends = time.monotonic() + seconds
        while (remaining := ends - time.monotonic()) > 0:
            time.sleep(min(SUMMARY_SECONDS, remaining))
            logger.info("simulation.summarised", extra=dict(self._done))

    def create_people(self) -> SimulatedPeople:
        finders = {agent.id: self._client(Role.AGENT, agent.id) for agent in self._agents[:3]}
        owner = self._client(Role.OWNER, "simulated-owner")
        validator = self._client(Role.VALIDATOR, "simulated-validator")
        return SimulatedPeople(owner, validator, finders, self._protocol_id, random.Random())  # noqa: S311 - a simulation

    def _agent_actions(self, agents: list[SimulatedAgent]) -> Iterable[Callable[[], str]]:
        """Let the agents report in turn, without end."""
        clients = {agent.id: self._client(Role.AGENT, agent.id) for agent in agents}

        def report(agent: SimulatedAgent) -> str:
            body = agent.next_report()
            accepted = clients[agent.id].post(f"/agents/{agent.id}/progress", body).ok
            return str(body.get("status", "RUNNING")).lower() if accepted else "refused"

        return ((lambda agent=agent: report(agent)) for agent in cycle(agents))  # type: ignore[misc]

    def _start_thread(self, actions: Iterable[Callable[[], str]], seconds: float) -> None:
        threading.Thread(target=self._act, args=(actions, seconds), daemon=True).start()

    def _act(self, actions: Iterable[Callable[[], str]], seconds: float) -> None:
        """Take an action each `seconds`. After an error, pause: a simulation outlives restarts of the server."""
        for action in actions:
            began = time.monotonic()
            try:
                if done := action():
                    self._done[done] += 1
            except requests.RequestException as error:
                logger.warning("simulation.action_failed", extra={"error": str(error)})
                time.sleep(PAUSE_AFTER_ERROR_SECONDS)
            time.sleep(max(seconds - (time.monotonic() - began), 0.0))


def _ensure(admin: ApiClient, path: str, body: dict[str, Any]) -> None:
    response = admin.post(path, body)
    if not response.ok and response.status_code != HTTPStatus.CONFLICT:
        raise click.ClickException(f"POST {path} was answered {response.status_code}: {response.text[:300]}")
