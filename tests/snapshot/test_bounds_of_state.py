"""`/state` and `/stats` stay small and quick for any number of agents."""

import json
import re
import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, insert

from app.agents import reported
from app.agents.models import Agent
from app.agents.reported import ONLINE_SECONDS
from app.config import Config
from app.core.database import transaction, utc_now
from app.core.extensions import db, redis_client
from app.realtime import retention, scripts
from app.realtime.redis_keys import partition_key, partition_of, room_key
from tests.factories import make_agent, make_protocol, report, unique
from tests.support.api import Api

DAY_US = 24 * 3600 * 10**6
EVER_HEARD = 20_000


def store_agents(protocol_id: str, count: int, *, status: str, age_us: int = 0) -> list[str]:
    """Agents as an earlier report of theirs left them, in the database and in Redis."""
    seconds, micros = redis_client().time()
    version = seconds * 10**6 + micros - age_us
    rows = []
    for number in range(count):
        agent_id = f"{protocol_id}-{status}-{age_us}-{number:05}"
        data = {
            "agentId": agent_id, "task": "t", "progress": "5", "status": status, "estimatedCompletion": None,
            "error": None, "nextTask": None, "version": str(version - number),
        }  # fmt: skip
        rows.append(
            {
                "id": agent_id,
                "name": "n",
                "type": "RESEARCHER",
                "created_at": utc_now(),
                "task_data": data,
                "task_protocol_id": protocol_id,
                "task_status": status,
                "task_version": version - number,
            }
        )
    with transaction() as session:
        session.execute(insert(Agent), rows)
    records = {row["id"]: f"0 0 {row['task_version']} {row['task_version']} 1 1 t" for row in rows}
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.hset(room_key(protocol_id, "latest"), mapping={row["id"]: json.dumps(row["task_data"]) for row in rows})
        pipe.hset(room_key(protocol_id, "agents"), mapping=records)
        pipe.zadd(room_key(protocol_id, "last_seen"), {row["id"]: row["task_version"] for row in rows})
        pipe.zadd(partition_key(partition_of(protocol_id), "rooms"), {protocol_id: version})
        pipe.execute()
    return [row["id"] for row in rows]


def state_of(api: Api, protocol_id: str) -> dict[str, Any]:
    return api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)


@pytest.mark.parametrize("age_us", [0, 3 * DAY_US], ids=["heard now", "heard long ago"])
def test_the_state_is_bounded_after_20_000_agents_have_reported(
    age_us: int, api: Api, in_context: Flask, protocol_id: str
) -> None:
    store_agents(protocol_id, EVER_HEARD, status="COMPLETED", age_us=age_us)
    at_work = store_agents(protocol_id, 3, status="RUNNING")

    read = []
    event.listen(db.engine, "before_cursor_execute", lambda *given: read.append(given[3]))
    answer = api.viewer.get(f"/protocols/{protocol_id}/state")
    state = answer.expect(200)

    shown = {each["agentId"] for each in state["agents"]}
    assert (len(shown), state["agentsTruncated"]) == ((3, False) if age_us else (1000, True))
    assert set(at_work) <= shown
    assert len(answer.body) < 1024 * 1024
    assert max(len(parameters) for parameters in read) <= 1100
    stats = api.viewer.get(f"/stats?protocolId={protocol_id}").expect(200)["agents"]
    assert sum(int(stats[kind]) for kind in ("online", "offline")) == EVER_HEARD + 3


def test_agents_beyond_the_limit_of_the_state_are_in_the_list_of_agents(
    api: Api, in_context: Flask, protocol_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reported, "MAX_SHOWN", 2)
    made = store_agents(protocol_id, 5, status="RUNNING")
    make_agent(api)

    state = state_of(api, protocol_id)
    listed, cursor = [], ""
    while cursor is not None:
        page = api.viewer.get(f"/agents?protocolId={protocol_id}&limit=2{cursor and '&cursor=' + cursor}").expect(200)
        listed += [each["id"] for each in page["items"]]
        cursor = page["nextCursor"]

    assert ([each["agentId"] for each in state["agents"]], state["agentsTruncated"]) == (made[:2], True)
    assert listed == made
    assert api.as_("viewer", protocols=["other"]).get(f"/agents?protocolId={protocol_id}").status == 404


def test_the_state_shows_a_silent_agent_while_its_task_runs_and_not_after(
    api: Api, in_context: Flask, protocol_id: str
) -> None:
    silent = store_agents(protocol_id, 1, status="RUNNING", age_us=2 * DAY_US)
    store_agents(protocol_id, 1, status="COMPLETED", age_us=2 * DAY_US)
    recent = store_agents(protocol_id, 1, status="FAILED", age_us=DAY_US // 2)

    assert [each["agentId"] for each in state_of(api, protocol_id)["agents"]] == sorted(silent + recent)


def test_the_scripts_and_the_statistics_agree_when_an_agent_is_offline() -> None:
    (offline_after,) = re.findall(r"OFFLINE_AFTER = (\d+)", scripts.source("arrive"))

    assert int(offline_after) == ONLINE_SECONDS * 1_000_000


def test_stats_count_each_agent_in_the_protocol_of_its_current_task(api: Api, protocol_id: str) -> None:
    there, agents = make_protocol(api), [make_agent(api) for _ in range(4)]

    def stats(place: str) -> dict[str, str]:
        return api.viewer.get(f"/stats?protocolId={place}").expect(200)["agents"]

    for each in agents:
        api.agent(each).post(f"/agents/{each}/progress", report(protocol_id)).expect(202)
    assert stats(protocol_id) == {"online": "4", "busy": "4", "offline": "0"}

    api.agent(agents[0]).post(f"/agents/{agents[0]}/progress", report(there)).expect(202)
    api.agent(agents[1]).post(f"/agents/{agents[1]}/progress", report(protocol_id, status="COMPLETED")).expect(202)

    assert stats(protocol_id) == {"online": "3", "busy": "2", "offline": "0"}
    assert stats(there) == {"online": "1", "busy": "1", "offline": "0"}
    own = api.as_("viewer", protocols=[protocol_id, there]).get("/stats").expect(200)["agents"]
    assert own["busy"] == "3"


def test_reports_of_agents_not_seen_in_a_room_for_a_week_are_deleted(
    api: Api, in_context: Flask, protocol_id: str, settings: Config
) -> None:
    store_agents(protocol_id, 1200, status="COMPLETED", age_us=8 * DAY_US)
    young = store_agents(protocol_id, 2, status="RUNNING", age_us=6 * DAY_US)

    assert retention.forget_silent(time.monotonic() + 60) == 1200

    assert sorted(each.decode() for each in redis_client().hkeys(room_key(protocol_id, "latest"))) == young
    assert redis_client().zcard(room_key(protocol_id, "last_seen")) == 2
    assert [each["agentId"] for each in state_of(api, protocol_id)["agents"]] == young


def test_long_failure_messages_do_not_make_a_large_state(api: Api, in_context: Flask, protocol_id: str) -> None:
    agents, text = [unique("A") for _ in range(30)], "x" * 2000
    failed = {"status": "FAILED", "error": {"message": text}}
    for each in agents:
        make_agent(api, id=each)
    updates = [report(protocol_id, agentId=each, **failed) for each in agents]
    remembered = (reported._remembered_state, reported._remembered_description)
    for each in remembered:
        each.cache_clear()
    api.admin.post("/progress", {"updates": updates}).expect(202)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reported, "MAX_CHARACTERS", 20_000)
        state = state_of(api, protocol_id)

    assert (len(state["agents"]), state["agentsTruncated"]) == (10, True)
    assert [each.cache_info().currsize for each in remembered] == [0, 0], "ten thousand would stay in memory"
