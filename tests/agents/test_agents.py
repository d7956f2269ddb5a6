"""Agents and their task queues: creating, listing, moving on to the next task, and who may read a current task."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.factories import make_agent, report, unique
from tests.support.api import Api, Caller


@pytest.fixture
def agent(api: Api, agent_id: str) -> Caller:
    return api.agent(agent_id)


def current_task(api: Api, agent_id: str) -> dict | None:
    return api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"]


def test_completing_moves_on_to_the_reported_next_task_then_the_queue_then_idle(api, agent, agent_id, protocol_id):
    path = f"/agents/{agent_id}"
    for name in ("queued first", "queued second"):
        agent.post(f"{path}/tasks", {"protocolId": protocol_id, "name": name}).expect(201)

    def complete(task: str, **more: str) -> str | None:
        body = {"protocolId": protocol_id, "task": task, "status": "COMPLETED"} | more
        agent.post(f"{path}/progress", body).expect(202)
        now = current_task(api, agent_id)
        return now and now["task"]

    agent.post(f"{path}/progress", report(protocol_id, "first")).expect(202)
    assert complete("first", nextTask="named in the report") == "named in the report"
    assert complete("named in the report") == "queued first"
    assert complete("queued first") == "queued second"
    assert complete("queued second") is None


def test_the_task_list_shows_an_agents_tasks_in_order_with_their_status(api, agent, agent_id, protocol_id):
    path = f"/agents/{agent_id}"
    for name in ("one", "two", "three"):
        agent.post(f"{path}/tasks", {"protocolId": protocol_id, "name": name}).expect(201)
    agent.post(f"{path}/progress", report(protocol_id, "zero", status="COMPLETED")).expect(202)
    agent.post(f"{path}/progress", report(protocol_id, "one", status="COMPLETED")).expect(202)
    failed = {"status": "FAILED", "error": {"message": "reverted"}}
    agent.post(f"{path}/progress", report(protocol_id, "two", **failed)).expect(202)

    tasks = {each["name"]: each["status"] for each in agent.get(f"{path}/tasks").expect(200)["items"]}

    assert [name for name in tasks if name != "zero"] == ["one", "two", "three"]
    assert (tasks["one"], tasks["two"], tasks["three"]) == ("COMPLETED", "FAILED", "QUEUED")
    past, first = (agent.get(f"{path}/tasks?closed=true&limit={limit}").expect(200) for limit in (50, 1))
    assert [each["name"] for each in past["items"]] == ["zero", "two", "one"]
    assert [each["error"] for each in past["items"]] == [None, {"code": None, "message": "reverted"}, None]
    after = agent.get(f"{path}/tasks?closed=true&limit=1&cursor={first['nextCursor']}").expect(200)
    assert [each["name"] for each in after["items"]] == ["two"]
    assert [each["name"] for each in agent.get(f"{path}/tasks?closed=false").expect(200)["items"]] == ["three"]


def test_a_failed_task_resets_progress_to_0_and_keeps_the_error(api, agent, agent_id, protocol_id) -> None:
    path = f"/agents/{agent_id}/progress"
    agent.post(path, report(protocol_id, "scan", 80)).expect(202)
    failed = {"status": "FAILED", "error": {"code": "E42", "message": "node went away"}}
    agent.post(path, report(protocol_id, "scan", 80, **failed)).expect(202)

    agents = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["agents"]

    assert [(each["agentId"], each["progress"], each["status"]) for each in agents] == [(agent_id, "0", "FAILED")]
    assert agents[0]["error"] == {"code": "E42", "message": "node went away"}


def test_the_version_rises_with_every_report(api: Api, agent, agent_id, protocol_id) -> None:
    versions = []
    for progress in range(20):
        agent.post(f"/agents/{agent_id}/progress", report(protocol_id, progress=progress)).expect(202)
        versions.append(int(current_task(api, agent_id)["version"]))

    assert versions == sorted(set(versions))


def test_parallel_terminal_updates_of_one_agent_are_all_stored(api, agent_id, protocol_id) -> None:
    names = [f"task {number}" for number in range(12)]
    for name in names:
        api.admin.post(f"/agents/{agent_id}/tasks", {"protocolId": protocol_id, "name": name}).expect(201)

    def complete(name: str) -> int:
        body = report(protocol_id, name, status="COMPLETED")
        return api.admin.post(f"/agents/{agent_id}/progress", body).status

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(complete, names)) == {202}

    tasks = api.viewer.get(f"/agents/{agent_id}/tasks").expect(200)["items"]
    assert [each["status"] for each in tasks if each["name"] in names].count("COMPLETED") == len(names)


@pytest.mark.parametrize("kind", ["PROTOCOL", "RESEARCHER", "VALIDATOR"])
def test_a_new_agent_is_idle_and_was_never_seen(kind: str, api: Api) -> None:
    created = api.admin.post("/agents", {"id": unique("A"), "name": "Scanner", "type": kind}).expect(201)

    assert (created["name"], created["type"], created["status"]) == ("Scanner", kind, "OFFLINE")
    assert (created["currentTask"], created["lastSeen"]) == (None, None)
    assert api.viewer.get(f"/agents/{created['id']}").expect(200) == created


@pytest.mark.parametrize("change", [{"type": "ROBOT"}, {"name": ""}, {"name": None}, {"id": "-x"}, {"id": "a" * 65}])
def test_an_agent_with_a_bad_field_is_refused(change: dict, api: Api) -> None:
    answer = api.admin.post("/agents", {"id": unique("A"), "name": "Scanner", "type": "PROTOCOL"} | change)
    assert list(answer.expect(422)["errors"]) == list(change)


def test_creating_an_agent_with_an_existing_id_is_a_conflict(api: Api, agent_id) -> None:
    answer = api.admin.post("/agents", {"id": agent_id, "name": "Twin", "type": "PROTOCOL"})
    assert (answer.status, answer.code) == (409, "ALREADY_EXISTS")


def test_generated_ids_sort_by_time(api: Api) -> None:
    body = {"name": "Scanner", "type": "PROTOCOL"}
    ids = [api.admin.post("/agents", body).expect(201)["id"] for _ in range(5)]
    assert ids == sorted(set(ids))


def test_an_agent_that_reports_is_online_and_was_last_seen_now(api: Api, agent, agent_id, protocol_id) -> None:
    agent.post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)

    shown = api.viewer.get(f"/agents/{agent_id}").expect(200)

    assert shown["status"] == "ONLINE"
    age = datetime.now(UTC) - datetime.fromisoformat(shown["lastSeen"])
    assert timedelta(seconds=-1) < age < timedelta(seconds=30)


def test_a_current_task_is_shown_only_to_tokens_that_name_its_protocol(api, agent, agent_id, protocol_id) -> None:
    agent.post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)

    insider = api.as_("viewer", protocols=[protocol_id]).get(f"/agents/{agent_id}").expect(200)
    outsider = api.as_("viewer", protocols=["other"]).get(f"/agents/{agent_id}").expect(200)

    assert insider["currentTask"]["protocolId"] == protocol_id
    assert outsider["currentTask"] is None


def test_pages_of_agents_miss_none_and_repeat_none(api: Api) -> None:
    made = sorted(make_agent(api) for _ in range(7))

    pages, cursor = [], ""
    while cursor is not None:
        page = api.viewer.get(f"/agents?limit=3{cursor and '&cursor=' + cursor}").expect(200)
        pages.append([each["id"] for each in page["items"]])
        cursor = page["nextCursor"]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(each for page in pages for each in page) == made


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=%21", "cursor=WzFd", "limit=-1"])
def test_invalid_page_parameters_are_a_422(query: str, api: Api) -> None:
    answer = api.viewer.get(f"/agents?{query}")
    assert list(answer.expect(422)["errors"]) == [query.partition("=")[0]]


def test_a_task_for_an_unknown_agent_or_protocol_is_a_404(api: Api, agent_id, protocol_id) -> None:
    body = {"protocolId": protocol_id, "name": "fuzzing"}
    assert api.admin.post(f"/agents/{unique('A')}/tasks", body).status == 404
    assert api.admin.post(f"/agents/{agent_id}/tasks", body | {"protocolId": "none"}).status == 404
