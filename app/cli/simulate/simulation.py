"""`dashboard simulate`: agents and people at work, over the public HTTP API with tokens of their own."""

import logging
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from app.cli.simulate.api_client import Api
    from app.cli.simulate.personas import SimulatedPeople, WorkingAgent
    from app.config import Config

logger = logging.getLogger(__name__)

TOKEN_SECONDS = 24 * 3600
STORY_PAUSE_SECONDS = 4.0  # a pace to follow: a round of the story in 24 s
SUMMARY_SECONDS = 30.0
SETBACK_SECONDS = 2.0
MAX_THREADS = 8


@click.command()
@click.option("--url", default="http://127.0.0.1:5000", help="where the dashboard is served")
@click.option("--protocol", default="demo", help="protocol to work for; made when it does not exist")
@click.option("--agents", default=6, type=click.IntRange(1, 1000), help="number of agents")
@click.option("--seconds", default=0.0, type=click.FloatRange(min=0), help="time to run; 0 runs until stopped")
@click.option("--rate", default=0.7, type=click.FloatRange(min=0.01, max=100), help="reports per agent and second")
def simulate(url: str, protocol: str, agents: int, seconds: float, rate: float) -> None:
    """Let simulated agents, validators and owners work."""
    import requests

    from app.cli.simulate.api_client import Stopped
    from app.config import load_config
    from app.observability.logging import init_logging

    settings = load_config()
    if not settings.signing_key:
        raise click.ClickException("simulate signs tokens itself: it cannot run with DASHBOARD_JWKS_URL")
    init_logging(settings)
    simulation = Simulation(settings, url, protocol)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: simulation.stop.set())
    try:
        simulation.set_up(agents)
        simulation.run(rate, seconds)
    except Stopped:
        pass
    except requests.RequestException as error:
        raise click.ClickException(f"{url} does not answer: {error}") from error


class Simulation:
    """A cast of agents and people, a way to stop them, and a count of what they did."""

    def __init__(self, settings: "Config", url: str, protocol_id: str) -> None:
        self._settings, self._url, self._protocol_id = settings, url, protocol_id
        self.stop = threading.Event()
        self._agents: list[WorkingAgent] = []
        self._deeds: Counter[str] = Counter()

    def _api(self, role: str, subject: str, protocols: list[str] | None = None) -> "Api":
        from app.auth.permissions import Role
        from app.auth.tokens import issue
        from app.cli.simulate.api_client import Api

        grants = [self._protocol_id] if protocols is None else protocols

        def make_token() -> str:
            return issue(self._settings, subject=subject, role=Role(role), protocols=grants, ttl_seconds=TOKEN_SECONDS)

        return Api(self._url, make_token, self.stop)

    def set_up(self, count: int) -> None:
        """Make the protocol and the agents; those that exist are used. Raises click.ClickException when refused."""
        from app.cli.simulate.personas import NAMES, TYPES, WorkingAgent

        admin = self._api("admin", "simulate", ["*"])
        name = self._protocol_id.replace("-", " ").title()
        self._ensure(admin, "/protocols", {"id": self._protocol_id, "name": f"{name} Protocol"})
        for index in range(count):
            agent_id = f"{self._protocol_id}-agent-{index + 1}"
            name = f"{NAMES[index % len(NAMES)]} {index // len(NAMES) + 1}"
            self._ensure(admin, "/agents", {"id": agent_id, "name": name, "type": TYPES[index % len(TYPES)]})
            chance = random.Random(index)  # noqa: S311 - a simulation that looks the same each time
            self._agents.append(WorkingAgent(agent_id, self._protocol_id, chance))

    @staticmethod
    def _ensure(admin: "Api", path: str, body: dict[str, Any]) -> None:
        response = admin.post(path, body)
        if not response.ok and response.status_code != HTTPStatus.CONFLICT:
            raise click.ClickException(f"POST {path} was answered {response.status_code}: {response.text[:300]}")

    def run(self, rate: float, seconds: float) -> None:
        """Work until `seconds` are over (0: until stopped), then say what was done."""
        groups = [group for first in range(MAX_THREADS) if (group := self._agents[first::MAX_THREADS])]
        jobs: list[tuple[Any, ...]] = [(self._work, group, rate) for group in groups]
        jobs.append((self._tell_story, self._story()))
        threads = [threading.Thread(target=job, args=arguments, daemon=True) for job, *arguments in jobs]
        for thread in threads:
            thread.start()
        ends = time.monotonic() + seconds if seconds else float("inf")
        while not self.stop.wait(min(SUMMARY_SECONDS, max(ends - time.monotonic(), 0.0))):
            self._summarise()
            if time.monotonic() >= ends:
                break
        self.stop.set()
        for thread in threads:
            thread.join(SETBACK_SECONDS)

    def _work(self, agents: "list[WorkingAgent]", rate: float) -> None:
        apis = [self._api("agent", agent.id) for agent in agents]
        pause = 1 / (rate * len(agents))
        while not self.stop.is_set():
            for agent, api in zip(agents, apis, strict=True):
                began = time.monotonic()
                self._attempt(lambda agent=agent, api=api: self._report(api, agent))  # type: ignore[misc]
                if self.stop.wait(max(pause - (time.monotonic() - began), 0.0)):
                    return

    @staticmethod
    def _report(api: "Api", agent: "WorkingAgent") -> str:
        report = agent.report()
        accepted = api.post(f"/agents/{agent.id}/progress", report).ok
        return str(report.get("status", "RUNNING")).lower() if accepted else "refused"

    def _story(self) -> "SimulatedPeople":
        from app.cli.simulate.personas import SimulatedPeople

        finders = {agent.id: self._api("agent", agent.id) for agent in self._agents[:3]}
        chance = random.Random()  # noqa: S311 - a simulation
        owner, validator = self._api("owner", "simulated-owner"), self._api("validator", "simulated-validator")
        return SimulatedPeople(owner, validator, finders, self._protocol_id, chance)

    def _tell_story(self, story: "SimulatedPeople") -> None:
        while not self.stop.wait(STORY_PAUSE_SECONDS):
            self._attempt(story.step)

    def _attempt(self, deed: Callable[[], str]) -> None:
        """A setback is told and waited out: a simulation outlives the server's restarts."""
        import requests

        from app.cli.simulate.api_client import Stopped

        try:
            if done := deed():
                self._deeds[done] += 1
        except Stopped:
            return
        except requests.RequestException as error:
            logger.warning("simulate.setback", extra={"error": str(error)})
            self.stop.wait(SETBACK_SECONDS)

    def _summarise(self) -> None:
        logger.info("simulate.done_so_far", extra=dict(self._deeds))
