"""Progress reports over REST: what is accepted, what is refused and how, and what a batch answers."""

import json

import pytest

from tests.factories import make_agent, report, unique
from tests.support.api import Api, Caller

pytestmark = pytest.mark.database("sqlite")  # validation does not depend on the database

MEGABYTE = 1024 * 1024


@pytest.fixture
def agent(api: Api, agent_id: str) -> Caller:
    return api.agent(agent_id)


def current_task(api: Api, agent_id: str) -> dict | None:
    return api.viewer.get(f"/agents/{agent_id}").expect(200)["currentTask"]


def test_a_report_is_accepted_and_becomes_the_current_task(api: Api, agent, agent_id, protocol_id) -> None:
    body = report(protocol_id, "fuzzing", 42, estimatedCompletion="2026-11-22T22:30:00+02:00")

    answer = agent.post(f"/agents/{agent_id}/progress", body).expect(202)

    assert answer == {"accepted": "1"}
    task = current_task(api, agent_id)
    assert task["estimatedCompletion"] == "2026-11-22T20:30:00.000Z"
    assert task["version"].isdecimal()
    shown = {name: task[name] for name in ("protocolId", "task", "progress", "status", "error")}
    wanted = {"protocolId": protocol_id, "task": "fuzzing", "progress": "42", "status": "RUNNING", "error": None}
    assert shown == wanted


@pytest.mark.parametrize("progress", [0, 100, 33.3, 1e1, 0.0])
def test_any_number_from_0_to_100_is_a_progress(progress, agent, agent_id, protocol_id) -> None:
    agent.post(f"/agents/{agent_id}/progress", report(protocol_id, progress=progress)).expect(202)


@pytest.mark.parametrize(
    "progress", [101, -1, 100.01, "65", None, True, [], {}, 1e300, pytest.param(10**400, id="huge")]
)
def test_another_progress_is_refused_with_the_field_named(progress, agent, agent_id, protocol_id) -> None:
    answer = agent.post(f"/agents/{agent_id}/progress", report(protocol_id, progress=progress))

    assert answer.expect(422)["errors"]["progress"]
    assert answer.code == "VALIDATION_FAILED"


NOT_JSON = [b"{", b"not json", b'{"progress": 1' + b"0" * 5_000 + b"}", b"\xff\xfe", b'{"a":1}trailing', b"[" * 100_000]
NOT_NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e"]


@pytest.mark.parametrize("body", NOT_JSON, ids=[repr(each[:20]) for each in NOT_JSON])
def test_malformed_json_is_a_400(body: bytes, agent, agent_id) -> None:
    answer = agent.post(f"/agents/{agent_id}/progress", body)
    assert answer.status == 400
    assert answer.code == "BAD_REQUEST"


@pytest.mark.parametrize("number", NOT_NUMBERS)
def test_a_number_that_json_does_not_have_is_a_400(number: bytes, agent, agent_id, protocol_id) -> None:
    body = json.dumps(report(protocol_id)).encode().replace(b"10}", number + b"}")
    assert number in body
    assert agent.post(f"/agents/{agent_id}/progress", body).status == 400


def test_an_empty_body_is_refused_as_one_without_its_fields(agent, agent_id) -> None:
    errors = agent.post(f"/agents/{agent_id}/progress", b"").expect(422)["errors"]
    assert {"protocolId", "task"} <= set(errors)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"7", b"true"])
def test_json_that_is_no_object_is_a_422(body: bytes, agent, agent_id) -> None:
    assert agent.post(f"/agents/{agent_id}/progress", body).status == 422


FAULTS = {
    "without task": ({"task": None}, "task"),
    "empty task": ({"task": ""}, "task"),
    "task is a number": ({"task": 5}, "task"),
    "task of 10,000 characters": ({"task": "x" * 10_000}, "task"),
    "NUL in the task": ({"task": "a\0b"}, "task"),
    "lone surrogate in the task": ({"task": "\ud800"}, "task"),
    "without protocol": ({"protocolId": None}, "protocolId"),
    "protocol is no id": ({"protocolId": "../etc"}, "protocolId"),
    "unknown status": ({"status": "PAUSED"}, "status"),
    "estimate is no date": ({"estimatedCompletion": "tomorrow"}, "estimatedCompletion"),
    "estimate is a number": ({"estimatedCompletion": 1700000000}, "estimatedCompletion"),
    "estimate without zone": ({"estimatedCompletion": "2026-11-22T20:30:00"}, "estimatedCompletion"),
    "estimate before time": ({"estimatedCompletion": "0001-01-01T00:00:00+14:00"}, "estimatedCompletion"),
    "failed without error": ({"status": "FAILED"}, "error"),
    "error without message": ({"status": "FAILED", "error": {"code": "E1"}}, "error.message"),
    "error is a number": ({"status": "FAILED", "error": 137}, "error"),
    "error's message is a number": ({"status": "FAILED", "error": {"message": 137}}, "error.message"),
    "line break in the task": ({"task": "a\nb"}, "task"),
    "nothing visible in the task": ({"task": "\u200b "}, "task"),
    "bidirectional override in the task": ({"task": "Vault\u202elos."}, "task"),
    "nothing visible in the next task": ({"nextTask": "\u3164"}, "nextTask"),
    "unknown field": ({"progres": 5}, "progres"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_field_is_refused_and_named_and_nothing_changes(fault, api, agent, agent_id, protocol_id) -> None:
    changes, field = FAULTS[fault]
    body = {name: value for name, value in (report(protocol_id) | changes).items() if value is not None}

    answer = agent.post(f"/agents/{agent_id}/progress", body)

    assert list(answer.expect(422)["errors"]) == [field]
    assert current_task(api, agent_id) is None


PASTED = {
    "http answer": ("HTTP/1.1 500\r\n\r\nboom", "HTTP/1.1 500\n\nboom"),
    "terminal output": ("\x1b[1;31mError\x1b[0m\x07: no\tgas\x00", "Error: no\tgas"),
    "traceback too long": ("Traceback\n" + "x" * 3_000, "Traceback\n" + "x" * 1_989 + "…"),
    "lone surrogate": ("half \udc80", "half "),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("kind", PASTED)
def test_a_failure_is_stored_whatever_its_words_look_like(kind, api, agent, agent_id, protocol_id) -> None:
    pasted, stored = PASTED[kind]
    failed = {"protocolId": protocol_id, "task": "t", "status": "FAILED"}

    agent.post(f"/agents/{agent_id}/progress", failed | {"error": {"message": pasted}}).expect(202)
    assert current_task(api, agent_id)["error"] == {"code": None, "message": stored}
    agent.post(f"/agents/{agent_id}/progress", failed | {"task": "u", "error": pasted}).expect(202)
    assert (current_task(api, agent_id)["task"], current_task(api, agent_id)["error"]["message"]) == ("u", stored)
    update = failed | {"task": "v", "agentId": agent_id, "error": {"message": pasted, "code": "E\r\n" + "x" * 80}}
    assert api.admin.post("/progress", {"updates": [update]}).expect(202)["accepted"] == "1"
    assert current_task(api, agent_id)["error"] == {"code": "E\n" + "x" * 61 + "…", "message": stored}


def test_a_running_report_needs_a_progress_and_a_closing_one_does_not(agent, agent_id, protocol_id) -> None:
    body = {"protocolId": protocol_id, "task": "t"}
    path = f"/agents/{agent_id}/progress"

    assert "progress" in agent.post(path, body).expect(422)["errors"]
    agent.post(path, body | {"status": "COMPLETED"}).expect(202)
    agent.post(path, body | {"status": "FAILED", "error": {"message": "out of gas"}}).expect(202)


def test_an_unknown_agent_or_protocol_is_a_404(api: Api, agent, agent_id, protocol_id) -> None:
    stranger = unique("A")

    assert api.admin.post(f"/agents/{stranger}/progress", report(protocol_id)).status == 404
    assert api.agent(stranger).post(f"/agents/{stranger}/progress", report(protocol_id)).status == 404
    assert agent.post(f"/agents/{agent_id}/progress", report("never-made")).status == 404


def test_an_agent_without_the_protocol_is_told_it_does_not_exist(api: Api, agent_id, protocol_id) -> None:
    agent = api.agent(agent_id, protocols=["other"])
    assert agent.post(f"/agents/{agent_id}/progress", report(protocol_id)).status == 404


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_a_body_that_is_not_declared_as_json_is_a_415(kind: str, agent, agent_id, protocol_id) -> None:
    answer = agent.post(f"/agents/{agent_id}/progress", report(protocol_id), Content_Type=kind)
    assert answer.status == 415
    assert answer.code == "UNSUPPORTED_MEDIA_TYPE"


def test_a_body_of_2_mib_is_a_413(agent, agent_id, protocol_id) -> None:
    answer = agent.post(f"/agents/{agent_id}/progress", report(protocol_id, task="x" * (2 * MEGABYTE)))
    assert answer.status == 413
    assert answer.code == "BODY_TOO_LARGE"


def test_a_batch_takes_what_is_valid_and_names_the_rest_by_index(api: Api, agent_id, protocol_id) -> None:
    good = report(protocol_id) | {"agentId": agent_id}
    updates = [good, good | {"progress": 101}, good | {"agentId": "nobody"}, "text", good | {"protocolId": "none"}]

    answer = api.admin.post("/progress", {"updates": updates}).expect(202)

    assert answer["accepted"] == "1"
    assert [each["index"] for each in answer["rejected"]] == ["1", "2", "3", "4"]
    fields = [list(each["errors"]) for each in answer["rejected"]]
    assert [fields[0], fields[1], fields[3]] == [["progress"], ["agentId"], ["protocolId"]]


def test_in_a_batch_an_agent_speaks_for_itself_alone(api: Api, agent, agent_id, protocol_id) -> None:
    other = make_agent(api)
    updates = [report(protocol_id) | {"agentId": each} for each in (other, agent_id)]

    answer = agent.post("/progress", {"updates": updates}).expect(202)

    assert answer["accepted"] == "1"
    assert [each["index"] for each in answer["rejected"]] == ["0"]
    assert current_task(api, other) is None


@pytest.mark.parametrize(("count", "status"), [(0, 422), (1, 202), (500, 202), (501, 422)])
def test_a_batch_holds_1_to_500_updates(count: int, status: int, api: Api, agent_id, protocol_id) -> None:
    updates = [report(protocol_id, progress=n % 101) | {"agentId": agent_id} for n in range(count)]

    answer = api.admin.post("/progress", {"updates": updates})

    assert answer.status == status
    if status == 202:
        assert answer.json == {"accepted": str(count), "rejected": []}
        assert current_task(api, agent_id)["progress"] == str((count - 1) % 101)


@pytest.mark.parametrize("updates", [None, {}, "x", 5])
def test_a_batch_that_is_no_list_is_a_422(updates, api: Api) -> None:
    assert api.admin.post("/progress", {"updates": updates}).status == 422
