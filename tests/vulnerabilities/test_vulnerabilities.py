import pytest

from tests.factories import file_vulnerability, make_protocol
from tests.support.money import at_once, books, confirmed, funded_protocol, own_api, pool, request_payment, settle


def file(caller, protocol_id, **fields):
    body = {"title": "Reentrancy", "severity": "HIGH"} | fields
    return caller.post(f"/protocols/{protocol_id}/vulnerabilities", body)


def test_a_filed_vulnerability_is_pending_and_has_every_field_of_the_contract(api):
    protocol_id = make_protocol(api)
    filed = file(api.validator, protocol_id, description="How it is done", agentId="scanner-1").expect(201)
    assert filed | {"id": "", "createdAt": "", "updatedAt": ""} == {
        "id": "", "protocolId": protocol_id, "title": "Reentrancy", "description": "How it is done",
        "severity": "HIGH", "status": "PENDING", "bounty": None, "reserved": "0.00", "agentId": "scanner-1",
        "rejectionReason": None, "paymentId": None, "version": "1", "createdAt": "", "updatedAt": "",
    }  # fmt: skip
    assert api.viewer.get(f"/vulnerabilities/{filed['id']}").expect(200) == filed


def test_an_agent_files_as_itself(api):
    protocol_id = make_protocol(api)
    agent = api.agent("scanner-1", [protocol_id])
    assert file(agent, protocol_id).expect(201)["agentId"] == "scanner-1"
    assert file(agent, protocol_id, agentId="scanner-1").expect(201)["agentId"] == "scanner-1"
    refused = file(agent, protocol_id, agentId="somebody-else")
    assert (refused.status, refused.code) == (403, "FORBIDDEN")


INVALID = [
    ({"title": ""}, "title"),
    ({"title": " \n\u2003"}, "title"),
    ({"title": "x" * 201}, "title"),
    ({"title": None}, "title"),
    ({"severity": "high"}, "severity"),
    ({"severity": "WORST"}, "severity"),
    ({"bounty": 5}, "bounty"),
    ({"bounty": "0"}, "bounty"),
    ({"agentId": "-bad"}, "agentId"),
    ({"title": "\u202eevil"}, "title"),
    ({"title": "\u200b\ufeff"}, "title"),
    ({"title": "two\r\nlines"}, "title"),
    ({"description": 5}, "description"),
    ({"description": ["text"]}, "description"),
    ({"status": "CONFIRMED"}, "status"),
]


def test_each_invalid_field_of_a_vulnerability_is_named(api):
    protocol_id = make_protocol(api)
    for fields, named in INVALID:
        refused = file(api.validator, protocol_id, **fields)
        assert refused.status == 422, fields
        assert named in refused.json["errors"]


@pytest.mark.parametrize(
    ("pasted", "stored"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n"),
        ("\x1b[31mFAIL\x1b[0m at 0x0\x00", "FAIL at 0x0"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("x" * 20_001, "x" * 19_999 + "…"),
        ("", ""),
    ],
    ids=["http request", "terminal output", "surrogate", "too long", "empty"],
)
def test_a_pasted_description_is_stored_as_text_and_never_refused(api, pasted, stored):
    filed = file(api.validator, make_protocol(api), description=pasted).expect(201)
    assert filed["description"] == stored
    assert api.viewer.get(f"/vulnerabilities/{filed['id']}").expect(200)["description"] == stored


def test_a_pasted_reason_is_stored_as_text_and_truncated_to_2000_characters(api):
    path = f"/vulnerabilities/{file_vulnerability(api, make_protocol(api))['id']}/reject"
    rejected = api.validator.post(path, {"reason": "\x1b[1mNo\x1b[0m\r\n" + "x" * 3_000}).expect(200)
    assert rejected["rejectionReason"] == "No\n" + "x" * 1_996 + "…"


@pytest.mark.parametrize("title", ["ثغرة في السحب", "👩‍💻 found it", "می\u200cخواهم"])
def test_a_title_in_any_script_is_accepted(api, title):
    assert file(api.validator, make_protocol(api), title=title).expect(201)["title"] == title


def test_only_agents_validators_and_admins_may_file(api):
    protocol_id = make_protocol(api)
    for role, status in {"viewer": 403, "owner": 403, "agent": 201, "validator": 201, "admin": 201}.items():
        assert file(api.as_(role), protocol_id).status == status, role


def test_only_validators_and_admins_may_decide(api):
    protocol_id = make_protocol(api)
    for role, status in {"viewer": 403, "owner": 403, "agent": 403, "validator": 200, "admin": 200}.items():
        for decision, body in (("confirm", {}), ("reject", {"reason": "no"})):
            path = f"/vulnerabilities/{file_vulnerability(api, protocol_id)['id']}/{decision}"
            assert api.as_(role).post(path, body).status == status, role


def test_a_bounty_beyond_the_available_amount_stores_nothing(api):
    protocol_id = funded_protocol(api, "10.00")
    refused = file(api.validator, protocol_id, bounty="10.000001")
    assert (refused.status, refused.code) == (409, "INSUFFICIENT_FUNDS")
    assert api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities").expect(200)["items"] == []
    assert pool(api, protocol_id)["version"] == "1"


def test_a_bounty_at_confirmation_is_reserved_if_none_was_before(api):
    protocol_id = funded_protocol(api, "10.00")
    path = f"/vulnerabilities/{file_vulnerability(api, protocol_id)['id']}"
    too_much = api.validator.post(f"{path}/confirm", {"bounty": "11"})
    assert (too_much.status, too_much.code) == (409, "INSUFFICIENT_FUNDS")
    assert api.viewer.get(path).expect(200)["status"] == "PENDING"
    assert api.validator.post(f"{path}/confirm", {"bounty": "4"}).expect(200)["bounty"] == "4.00"
    assert pool(api, protocol_id)["reserved"] == "4.00"


def test_a_second_bounty_is_409_and_leaves_the_vulnerability_pending(api):
    protocol_id = funded_protocol(api, "10.00")
    path = f"/vulnerabilities/{file_vulnerability(api, protocol_id, bounty='4')['id']}"
    refused = api.validator.post(f"{path}/confirm", {"bounty": "1"})
    assert (refused.status, refused.code) == (409, "ALREADY_RESERVED")
    assert api.viewer.get(path).expect(200)["status"] == "PENDING"
    assert pool(api, protocol_id)["reserved"] == "4.00"


def test_a_confirmation_needs_no_body(api):
    path = f"/vulnerabilities/{file_vulnerability(api, make_protocol(api))['id']}/confirm"
    assert api.validator.post(path).expect(200)["status"] == "CONFIRMED"


def test_a_rejection_needs_a_reason_and_releases_the_reservation(api):
    protocol_id = funded_protocol(api, "10.00")
    path = f"/vulnerabilities/{file_vulnerability(api, protocol_id, bounty='4')['id']}"
    assert api.validator.post(f"{path}/reject", {}).status == 422
    for nothing in ("", "  "):
        assert api.validator.post(f"{path}/reject", {"reason": nothing}).status == 422
    rejected = api.validator.post(f"{path}/reject", {"reason": "duplicate"}).expect(200)
    assert (rejected["status"], rejected["rejectionReason"], rejected["version"]) == ("REJECTED", "duplicate", "2")
    assert (pool(api, protocol_id)["available"], pool(api, protocol_id)["reserved"]) == ("10.00", "0.00")


def _bring_to(app, api, status):
    """The path of a vulnerability of that status."""
    protocol_id = funded_protocol(api, "10.00")
    if status in ("PENDING", "REJECTED"):
        path = f"/vulnerabilities/{file_vulnerability(api, protocol_id)['id']}"
        if status == "REJECTED":
            api.validator.post(f"{path}/reject", {"reason": "no"}).expect(200)
        return path
    path = confirmed(api, protocol_id, "1.00")
    if status == "PAID":
        settle(app, request_payment(api, path)["id"])
    return path


@pytest.mark.parametrize("status", ["CONFIRMED", "REJECTED", "PAID"])
def test_a_second_decision_is_refused_and_names_the_current_status(app, api, status):
    path = _bring_to(app, api, status)
    for decision, body in (("confirm", {}), ("reject", {"reason": "no"})):
        refused = api.validator.post(f"{path}/{decision}", body)
        assert (refused.status, refused.code) == (409, "INVALID_TRANSITION")
        assert status in refused.json["detail"]
    assert api.viewer.get(path).expect(200)["status"] == status


def test_of_concurrent_decisions_one_takes_effect(app, settings, api):
    protocol_id = funded_protocol(api, "10.00")
    path = f"/vulnerabilities/{file_vulnerability(api, protocol_id, bounty='4')['id']}"

    def decide(decision, body):
        return own_api(app, settings).validator.post(f"{path}/{decision}", body).status

    tasks = [lambda: decide("confirm", {}), lambda: decide("reject", {"reason": "no"})] * 8
    assert sorted(at_once(16, tasks)) == [200] + [409] * 15
    assert books(app) == []
    status = api.viewer.get(path).expect(200)["status"]
    assert pool(api, protocol_id)["reserved"] == {"CONFIRMED": "4.00", "REJECTED": "0.00"}[status]


def test_a_vulnerability_of_a_protocol_without_a_grant_is_404(api):
    filed = file_vulnerability(api, make_protocol(api))["id"]
    for role, path, body in (
        ("viewer", "", None),
        ("validator", "/confirm", {}),
        ("validator", "/reject", {"reason": "no"}),
        ("owner", "/payment", {"recipient": "r"}),
    ):
        stranger = api.as_(role, protocols=["other"])
        for vulnerability_id in (filed, "not-there", "%00"):
            url = f"/vulnerabilities/{vulnerability_id}{path}"
            answer = stranger.get(url) if body is None else stranger.post(url, body)
            assert (answer.status, answer.code) == (404, "VULNERABILITY_NOT_FOUND")


SEVERITIES = ["LOW", "CRITICAL", "INFO", "HIGH", "MEDIUM", "CRITICAL", "LOW"]


def _all_pages(api, protocol_id, query):
    items, cursor = [], ""
    while cursor is not None:
        url = f"/protocols/{protocol_id}/vulnerabilities?limit=2{query}{cursor and '&cursor=' + cursor}"
        page = api.viewer.get(url).expect(200)
        items += page["items"]
        cursor = page["nextCursor"]
    return items


def test_the_list_is_newest_first_by_default_in_pages(api):
    protocol_id = make_protocol(api)
    filed = [file_vulnerability(api, protocol_id, severity=each)["id"] for each in SEVERITIES]
    assert [each["id"] for each in _all_pages(api, protocol_id, "")] == filed[::-1]


def test_sorted_by_severity_the_most_severe_come_first_and_the_newest_within_each(api):
    protocol_id = make_protocol(api)
    filed = [(each, file_vulnerability(api, protocol_id, severity=each)["id"]) for each in SEVERITIES]
    gravity = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]
    newest_first = filed[::-1]
    expected = sorted(newest_first, key=lambda each: gravity.index(each[0]))
    listed = _all_pages(api, protocol_id, "&sort=severity")
    assert [(each["severity"], each["id"]) for each in listed] == expected


def test_the_list_is_filtered_by_status_and_severity(api):
    protocol_id = make_protocol(api)
    low, high = (file_vulnerability(api, protocol_id, severity=each)["id"] for each in ("LOW", "HIGH"))
    api.validator.post(f"/vulnerabilities/{low}/confirm", {}).expect(200)
    assert [each["id"] for each in _all_pages(api, protocol_id, "&status=CONFIRMED")] == [low]
    assert [each["id"] for each in _all_pages(api, protocol_id, "&severity=HIGH")] == [high]
    assert _all_pages(api, protocol_id, "&status=CONFIRMED&severity=HIGH&sort=severity") == []


def test_an_unknown_filter_or_order_is_422(api):
    path = f"/protocols/{make_protocol(api)}/vulnerabilities"
    for query in ("status=OPEN", "severity=WORST", "sort=title", "limit=0", "limit=201", "limit=x"):
        assert api.viewer.get(f"{path}?{query}").status == 422, query


def test_an_empty_query_parameter_is_ignored(api):
    protocol_id = make_protocol(api)
    filed = file_vulnerability(api, protocol_id)["id"]
    for query in ("status=", "severity=&sort=", "limit=&cursor=", "status=&status=PENDING"):
        listed = api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities?{query}").expect(200)
        assert [each["id"] for each in listed["items"]] == [filed], query
    assert api.viewer.get("/stats?protocolId=").expect(200)["bountyPool"]["protocolId"] is None
    assert api.admin.get("/audit?protocolId=&subject=&action=&limit=").status == 200


def test_a_cursor_of_another_sort_order_is_422(api):
    protocol_id = make_protocol(api)
    for severity in ("LOW", "HIGH"):
        file_vulnerability(api, protocol_id, severity=severity)
    path = f"/protocols/{protocol_id}/vulnerabilities?limit=1"
    cursor = api.viewer.get(path).expect(200)["nextCursor"]
    assert api.viewer.get(f"{path}&sort=severity&cursor={cursor}").status == 422


def test_the_snapshot_lists_open_vulnerabilities_newest_first_and_counts_all(api):
    protocol_id = funded_protocol(api)
    first, second, third = (file_vulnerability(api, protocol_id, severity="LOW")["id"] for _ in range(3))
    api.validator.post(f"/vulnerabilities/{second}/reject", {"reason": "no"}).expect(200)
    api.validator.post(f"/vulnerabilities/{first}/confirm", {}).expect(200)
    state = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
    assert [each["id"] for each in state["vulnerabilities"]["open"]] == [third, first]
    assert state["vulnerabilities"]["open"][1] == api.viewer.get(f"/vulnerabilities/{first}").expect(200)
    assert state["vulnerabilities"]["counts"] == {
        "total": "3",
        "bySeverity": {"CRITICAL": "0", "HIGH": "0", "MEDIUM": "0", "LOW": "3", "INFO": "0"},
        "byStatus": {"PENDING": "1", "CONFIRMED": "1", "REJECTED": "1", "PAID": "0"},
    }
    assert state["pool"] == pool(api, protocol_id)
