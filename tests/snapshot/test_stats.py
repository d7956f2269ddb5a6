"""Totals tell of a protocol that the token does not name as little as of one that does not exist."""

import pytest

from tests.factories import make_agent, make_protocol, report
from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")  # `busy` is computed from Redis


def set_to_work(api: Api, protocol_id: str, task: str = "fuzzing") -> str:
    agent_id = make_agent(api)
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, task)).expect(202)
    return agent_id


def busy(api: Api, protocols: list[str], role: str = "viewer") -> str:
    return api.as_(role, protocols=protocols).get("/stats").expect(200)["agents"]["busy"]


def test_busy_agents_are_counted_only_for_tokens_that_grant_their_protocol(api: Api) -> None:
    mine, foreign = make_protocol(api), make_protocol(api)
    for protocol_id in (mine, mine, foreign):
        set_to_work(api, protocol_id, task="a task of several words")

    assert (busy(api, [mine]), busy(api, [foreign]), busy(api, [mine, foreign])) == ("2", "1", "3")
    assert (busy(api, []), busy(api, ["another"]), busy(api, [mine[:-1]])) == ("0", "0", "0")
    assert (busy(api, ["*"]), busy(api, [], role="admin")) == ("3", "3")


def test_an_agent_that_moves_to_another_protocol_is_busy_there_alone(api: Api) -> None:
    left, entered = make_protocol(api), make_protocol(api)
    agent_id = set_to_work(api, left)
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(entered, "proving")).expect(202)

    assert (busy(api, [left]), busy(api, [entered])) == ("0", "1")
