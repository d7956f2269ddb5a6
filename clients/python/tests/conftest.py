"""Fixtures of the client's tests: scripted servers, and the running systems of the server's tests."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import agent_id, protocol_id, served_api, sqlite_template  # noqa: F401 - fixtures
from tests.support.api import mint

from dashboard_realtime import Agent
from dashboard_realtime.agent import lane
from scripted_api import ScriptedApi

pytest_plugins = ["tests.support.stack_fixtures", "tests.support.process_fixtures"]

_numbers = itertools.count(1)


@pytest.fixture
def scripted() -> Iterator[ScriptedApi]:
    """An API that answers as the test says."""
    with ScriptedApi() as api:
        yield api


@pytest.fixture
def agent_token() -> str:
    return mint("a key of forty characters that signs tokens", "agent", sub="scanner-7", protocols=["P1"])


@pytest.fixture
def make_agent(
    scripted: ScriptedApi, agent_token: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Agent]]:
    """`make_agent(journal=…)`: an agent of the scripted API that does not wait long between its attempts."""
    monkeypatch.setattr(lane, "MAX_PAUSE_SECONDS", 0.2)
    made: list[Agent] = []

    def make(**options: object) -> Agent:
        given = {"protocol_id": "P1", "close_timeout": 0.1} | options
        made.append(Agent(scripted.url, given.pop("token", agent_token), **given))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close(0)
