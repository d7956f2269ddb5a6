"""Each audit entry commits with its change and cannot be changed afterwards."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core.extensions import db
from app.payments import settlement
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.api import Api
from tests.support.money import SECRET, Reply, confirmed, funded_protocol, payout_service, request_payment, settle


def entries(api: Api, protocol_id: str) -> list[dict]:
    return api.admin.get(f"/audit?protocolId={protocol_id}").expect(200)["items"]


def test_each_movement_of_money_and_each_decision_is_audited(api: Api, in_context) -> None:
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "100.00", reference="tx-1")
    confirmed, rejected = (file_vulnerability(api, protocol_id, bounty="10.00")["id"] for _ in range(2))
    api.validator.post(f"/vulnerabilities/{confirmed}/confirm", {}).expect(200)
    api.validator.post(f"/vulnerabilities/{rejected}/reject", {"reason": "duplicate"}).expect(200)
    payment = api.owner.post(f"/vulnerabilities/{confirmed}/payment", {"recipient": "0xabc"}).expect(202)
    settlement.settle(payment["id"])

    filed, found = [], []
    for each in entries(api, protocol_id)[::-1]:
        (filed if each["action"] == "VULNERABILITY_FILED" else found).append(each)

    assert [(each["targetId"], each["after"]["reserved"]) for each in filed] == [
        (confirmed, "10.00"), (rejected, "10.00"),
    ]  # fmt: skip
    assert [each["action"] for each in found] == [
        "DEPOSIT", "VULNERABILITY_CONFIRMED", "VULNERABILITY_REJECTED", "PAYMENT_REQUESTED", "PAYMENT_RELEASED",
    ]  # fmt: skip
    assert (found[0]["before"]["total"], found[0]["after"]["total"]) == ("0.00", "100.00")
    assert (found[1]["before"]["status"], found[1]["after"]["status"]) == ("PENDING", "CONFIRMED")
    assert found[2]["after"]["rejectionReason"] == "duplicate"
    assert found[3]["targetId"] == payment["id"]
    assert found[3]["after"]["recipient"] == "0xabc"
    assert (found[4]["before"]["status"], found[4]["after"]["status"]) == ("PROCESSING", "RELEASED")
    assert found[4]["subject"] == "system"


def test_a_refused_payment_and_its_retry_are_audited_but_not_an_attempt_that_is_repeated_by_itself(app_with) -> None:
    with payout_service() as service:
        api = app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET, PAYOUT_RETRY_BASE="0")
        protocol_id = funded_protocol(api)
        payment_id = request_payment(api, confirmed(api, protocol_id))["id"]
        service.replies = [Reply(503), Reply(400)]
        for _ in range(2):
            settle(api.transport.client.application, payment_id)
        api.as_("owner", sub="treasury").post(f"/payments/{payment_id}/retry").expect(202)

    found = [each for each in entries(api, protocol_id)[::-1] if each["targetId"] == payment_id]

    assert [(each["action"], each["subject"]) for each in found][1:] == [
        ("PAYMENT_FAILED", "system"), ("PAYMENT_RETRIED", "treasury"),
    ]  # fmt: skip
    assert (found[1]["before"]["status"], found[1]["after"]["status"]) == ("PROCESSING", "FAILED")
    assert (found[2]["before"]["status"], found[2]["after"]["status"]) == ("FAILED", "PENDING")


def test_an_entry_names_the_subject_its_token_its_address_and_the_request(api: Api) -> None:
    protocol_id = make_protocol(api)
    owner = api.as_("owner", sub="treasury", jti="token-7")
    owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1"}, X_Request_Id="request-9").expect(201)

    (entry,) = entries(api, protocol_id)

    who = {name: entry[name] for name in ("subject", "role", "tokenId", "address", "requestId")}
    assert who == {
        "subject": "treasury", "role": "owner", "tokenId": "token-7", "address": "127.0.0.1", "requestId": "request-9",
    }  # fmt: skip


def test_a_refused_or_replayed_request_adds_no_audit_entry(api: Api) -> None:
    protocol_id = make_protocol(api)
    owner = api.owner
    for _ in range(2):
        owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1"}, Idempotency_Key="k").expect(201)
    owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "999999999999"}).expect(409)

    assert len(entries(api, protocol_id)) == 1


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET subject = 'nobody'", "DELETE FROM audit_entries"])
def test_the_database_itself_refuses_to_change_an_entry(statement: str, api: Api, in_context) -> None:
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "1")

    with pytest.raises(DBAPIError, match="append-only"):
        db.session.execute(text(statement))
    db.session.rollback()

    assert len(entries(api, protocol_id)) == 1


def test_only_admins_read_the_log_page_by_page(api: Api) -> None:
    protocol_id = make_protocol(api)
    for _ in range(3):
        deposit(api, protocol_id, "1")

    first = api.admin.get(f"/audit?protocolId={protocol_id}&limit=2").expect(200)
    second = api.admin.get(f"/audit?protocolId={protocol_id}&limit=2&cursor={first['nextCursor']}").expect(200)

    ids = [int(each["id"]) for each in first["items"] + second["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3
    assert second["nextCursor"] is None
    assert {api.as_(role).get("/audit").status for role in ("agent", "viewer", "validator", "owner")} == {403}
