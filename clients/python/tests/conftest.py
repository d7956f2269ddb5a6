"""Fixtures of the client's tests: scripted servers, and the running systems of the server's tests."""

from collections.abc import Callable, Iterator

import pytest
from tests.conftest import agent_id, protocol_id, served_api, sqlite_template  # noqa: F401 - fixtures
from tests.support.api import mint
from tests.support.processes import until

from dashboard_realtime import Agent, Room, RoomOptions, Status
from dashboard_realtime.agent import lane
from scripted_api import ScriptedApi
from scripted_room import FAST, TOKEN, ScriptedRoom

pytest_plugins = ["tests.support.stack_fixtures", "tests.support.process_fixtures"]


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


@pytest.fixture
def server() -> Iterator[ScriptedRoom]:
    with ScriptedRoom() as room:
        yield room


@pytest.fixture
def make_room(server: ScriptedRoom, transport: str) -> Iterator:
    made: list[Room] = []

    def make(token=TOKEN, options=None, **more) -> Room:
        given = RoomOptions(**{**FAST, **(options or {})})
        made.append(Room(server.url, token, "P1", **{"transport": transport, "options": given, **more}).__enter__())
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def transport() -> str:
    return "socketio"


@pytest.fixture
def room(make_room) -> Room:
    made = make_room()
    until(lambda: made.status is Status.LIVE, 10, "it is live")
    return made
