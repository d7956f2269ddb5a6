"""The history of a vulnerability: who did what and when, for all who may read it."""

import json

import pytest

from tests.factories import file_vulnerability, make_protocol
from tests.support.api import Api
from tests.support.money import SECRET, Reply, funded_protocol, payout_service, request_payment, settle

FORBIDDEN = ("127.0.0.1", "tokenId", "requestId", "jti", "secret-jti", "request-7", "address")


def history(api: Api, vulnerability_id: str, query: str = "") -> list[dict]:
    return api.viewer.get(f"/vulnerabilities/{vulnerability_id}/history{query}").expect(200)["items"]


def test_it_tells_filing_decision_and_each_change_of_the_payment_oldest_first(app_with) -> None:
    with payout_service() as service:
        api = app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET, PAYOUT_RETRY_BASE="0")
        app, protocol_id = api.transport.client.application, funded_protocol(api)
        found = file_vulnerability(api, protocol_id, bounty="100.00")["id"]
        path = f"/vulnerabilities/{found}"
        validator = api.as_("validator", sub="vera", jti="secret-jti")
        validator.post(f"{path}/confirm", {}, X_Request_Id="request-7").expect(200)
        service.replies = [Reply(status=422, body=b'{"reason": "unknown recipient"}')]
        payment = request_payment(api, path, amount="60.00")["id"]
        settle(app, payment)
        service.replies = [Reply(status=200, body=b'{"reference": "tx-9"}')]
        api.owner.post(f"/payments/{payment}/retry").expect(202)
        settle(app, payment)

        items = history(api, found)

    assert [(each["action"], each["subject"], each["role"], each["newStatus"]) for each in items] == [
        ("VULNERABILITY_FILED", "validator-1", "validator", "PENDING"),
        ("VULNERABILITY_CONFIRMED", "vera", "validator", "CONFIRMED"),
        ("PAYMENT_REQUESTED", "owner-1", "owner", "PENDING"),
        ("PAYMENT_FAILED", "system", "system", "FAILED"),
        ("PAYMENT_RETRIED", "owner-1", "owner", "PENDING"),
        ("PAYMENT_RELEASED", "system", "system", "RELEASED"),
    ]
    assert [each["at"] for each in items] == sorted(each["at"] for each in items)
    assert (items[0]["bounty"], items[0]["reserved"], items[1]["reserved"]) == ("100.00", "100.00", "100.00")
    assert (items[2]["paymentId"], items[2]["amount"], items[2]["recipient"]) == (payment, "60.00", "0xabc")
    assert "unknown recipient" in items[3]["reason"]
    assert items[5]["reference"] == "tx-9"
    assert not [word for word in FORBIDDEN if word in json.dumps(items)]


def test_a_rejection_has_its_reason_and_the_pages_are_in_order(api: Api) -> None:
    protocol_id = funded_protocol(api)
    found = file_vulnerability(api, protocol_id, bounty="1.00")["id"]
    api.validator.post(f"/vulnerabilities/{found}/reject", {"reason": "Duplicate"}).expect(200)

    first = api.viewer.get(f"/vulnerabilities/{found}/history?limit=1").expect(200)
    rest = api.viewer.get(f"/vulnerabilities/{found}/history?limit=1&cursor={first['nextCursor']}").expect(200)

    assert [each["action"] for each in first["items"]] == ["VULNERABILITY_FILED"]
    (rejected,) = rest["items"]
    assert (rejected["action"], rejected["oldStatus"]) == ("VULNERABILITY_REJECTED", "PENDING")
    assert (rejected["reason"], rejected["reserved"]) == ("Duplicate", "0.00")
    assert rest["nextCursor"] is None


@pytest.mark.parametrize("limit", [1, 50])
def test_an_older_finding_without_an_entry_of_its_filing_tells_it_from_itself(
    api: Api, app, monkeypatch, limit
) -> None:
    monkeypatch.setattr("app.vulnerabilities.service.record_audit", lambda *_, **__: None)
    protocol_id = make_protocol(api)
    found = file_vulnerability(api, protocol_id)
    monkeypatch.undo()
    api.validator.post(f"/vulnerabilities/{found['id']}/confirm", {}).expect(200)

    items, cursor = [], ""
    while cursor is not None:
        page = api.viewer.get(f"/vulnerabilities/{found['id']}/history?limit={limit}&cursor={cursor}").expect(200)
        items, cursor = items + page["items"], page["nextCursor"]

    assert [(each["action"], each["subject"], each["role"]) for each in items] == [
        ("VULNERABILITY_FILED", "validator-1", None),
        ("VULNERABILITY_CONFIRMED", "validator-1", "validator"),
    ]
    assert items[0]["at"] == found["createdAt"]


def test_only_readers_of_the_protocol_see_it_and_no_token_slips_in(api: Api) -> None:
    protocol_id = make_protocol(api)
    found = file_vulnerability(api, protocol_id)["id"]
    api.admin.post("/tokens/revoke", {"jti": found, "reason": "named like it"}).expect(201)

    hidden = api.as_("viewer", protocols=["other"]).get(f"/vulnerabilities/{found}/history")
    assert (hidden.status, hidden.code) == (404, "VULNERABILITY_NOT_FOUND")
    assert api.as_("viewer", protocols=[protocol_id]).get(f"/vulnerabilities/{found}/history").status == 200
    assert len(history(api, found)) == 1
    assert api.viewer.get(f"/vulnerabilities/{found}/history?cursor=x").status == 422
