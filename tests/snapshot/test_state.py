"""`/state`: the newest truth, with the versions that events carry and a seq that nothing newer is missing from."""

import uuid_utils.compat as uuid
from flask import Flask
from sqlalchemy import insert, inspect

from app.core.database import transaction
from app.vulnerabilities.models import Vulnerability
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.api import Api
from tests.support.event_checks import leaves, moment
from tests.support.money import confirmed, funded_protocol, request_payment


def state_of(api: Api, protocol_id: str) -> dict:
    return api.as_("viewer", protocols=[protocol_id]).get(f"/protocols/{protocol_id}/state").expect(200)


def test_the_state_has_the_newest_reported_progress_before_its_event_is_emitted(api: Api) -> None:
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    for progress in (1, 50, 99):
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, progress=progress)).expect(202)

    state = state_of(api, protocol_id)

    assert [(each["agentId"], each["progress"]) for each in state["agents"]] == [(agent_id, "99")]
    assert state["seq"] == "0"


def test_every_change_of_the_pool_raises_the_version_that_the_state_shows(api: Api) -> None:
    protocol_id = make_protocol(api)
    versions = [int(state_of(api, protocol_id)["pool"]["version"])]
    for _ in range(3):
        deposit(api, protocol_id, "5")
        versions.append(int(state_of(api, protocol_id)["pool"]["version"]))
    assert versions == sorted(set(versions))


def test_seq_counts_the_events_of_the_room(api: Api) -> None:
    protocol_id = make_protocol(api)
    for _ in range(3):
        deposit(api, protocol_id, "5")
    assert state_of(api, protocol_id)["seq"] == "3"


def test_the_state_holds_no_json_number_and_only_utc_dates(api: Api) -> None:
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    deposit(api, protocol_id, "100")
    finding = file_vulnerability(api, protocol_id, bounty="7.5")
    body = report(protocol_id, progress=12.5, estimatedCompletion="2031-01-01T00:00:00Z")
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)

    state = state_of(api, protocol_id)

    assert all(each is None or isinstance(each, (str, bool)) for each in leaves(state)), state
    assert state["agents"][0]["estimatedCompletion"] == "2031-01-01T00:00:00.000Z"
    for date in (state["asOf"], state["protocol"]["createdAt"], state["agents"][0]["lastSeen"]):
        moment(date)
    assert state["vulnerabilities"]["open"][0]["id"] == finding["id"]


def test_the_state_has_nothing_of_another_protocol(api: Api) -> None:
    mine, other, agent_id = make_protocol(api), make_protocol(api), make_agent(api)
    deposit(api, other, "100")
    file_vulnerability(api, other)
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(other)).expect(202)

    state = state_of(api, mine)

    assert (state["agents"], state["vulnerabilities"]["open"], state["pool"]["total"]) == ([], [], "0.00")


def test_after_redis_lost_its_data_agents_are_shown_as_last_stored(api: Api, valkey, settings) -> None:
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    agent, path = api.agent(agent_id), f"/agents/{agent_id}/progress"
    agent.post(path, report(protocol_id, "scan", 40)).expect(202)
    agent.post(path, report(protocol_id, "scan", status="COMPLETED", nextTask="fuzz")).expect(202)
    before = state_of(api, protocol_id)["agents"][0]

    with valkey.client(int(settings.redis_url.rpartition("/")[2])) as client:
        client.flushdb()
    after = state_of(api, protocol_id)["agents"][0]

    assert (after["task"], after["progress"], after["version"]) == ("fuzz", "0", before["version"])


def multiply(app: Flask, vulnerability_id: str, copies: int) -> None:
    """Store so many more like this one, each newer than the one before."""
    with app.app_context(), transaction() as session:
        found = session.get_one(Vulnerability, vulnerability_id)
        row = {each.key: getattr(found, each.key) for each in inspect(Vulnerability).column_attrs}
        session.execute(insert(Vulnerability), [row | {"id": str(uuid.uuid7())} for _ in range(copies)])


def test_the_state_shows_the_newest_thousand_open_vulnerabilities_and_says_whether_there_are_more(api, app) -> None:
    protocol_id = make_protocol(api)
    oldest = file_vulnerability(api, protocol_id, severity="CRITICAL")["id"]
    multiply(app, oldest, 999)
    all_of_them = state_of(api, protocol_id)["vulnerabilities"]
    newest = file_vulnerability(api, protocol_id)["id"]
    most_of_them = state_of(api, protocol_id)["vulnerabilities"]

    assert (len(all_of_them["open"]), all_of_them["openTruncated"]) == (1000, False)
    assert all_of_them["open"][-1]["id"] == oldest
    assert (len(most_of_them["open"]), most_of_them["openTruncated"]) == (1000, True)
    assert most_of_them["open"][0]["id"] == newest
    assert most_of_them["open"][1:] == all_of_them["open"][:-1]
    assert most_of_them["counts"]["byStatus"]["PENDING"] == "1001"
    path = f"/protocols/{protocol_id}/vulnerabilities?status=PENDING&severity=CRITICAL&sort=severity&limit=200"
    assert api.viewer.get(path).expect(200)["nextCursor"], "the rest is in the list"


def test_a_state_stays_small_however_long_the_descriptions_are(api, app) -> None:
    protocol_id = make_protocol(api)
    multiply(app, file_vulnerability(api, protocol_id, description="x" * 20_000)["id"], 100)
    found = state_of(api, protocol_id)["vulnerabilities"]
    assert (len(found["open"]), found["openTruncated"], found["counts"]["total"]) == (100, True, "101")


def test_an_open_vulnerability_looks_the_same_in_the_state_as_in_the_list(api) -> None:
    protocol_id = funded_protocol(api)
    file_vulnerability(api, protocol_id, description='two\nlines, "quoted" → ü', agentId="scanner-7", severity="INFO")
    file_vulnerability(api, protocol_id, bounty="0.000001")
    request_payment(api, confirmed(api, protocol_id, "12.50"))
    listed = api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities").expect(200)["items"]
    assert state_of(api, protocol_id)["vulnerabilities"]["open"] == listed
    assert [list(each) for each in state_of(api, protocol_id)["vulnerabilities"]["open"]] == [list(listed[0])] * 3
