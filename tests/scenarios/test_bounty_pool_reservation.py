"""Scenario: Bounty pool reservation."""

from tests.factories import deposit, file_vulnerability


def test_filing_with_a_bounty_delivers_the_reserved_amount(stack, js, protocol_id):
    deposit(stack.api, protocol_id, "1000.00")
    watcher = stack.watch(js, protocol_id)

    vulnerability = file_vulnerability(stack.api, protocol_id, bounty="250.25")

    event = watcher.wait_for_event("bounty_pool:updated").payload
    assert event["protocolId"] == protocol_id
    assert event["data"] == {
        "changeType": "RESERVATION",
        "amount": "250.25",
        "total": "1000.00",
        "available": "749.75",
        "reserved": "250.25",
        "paid": "0.00",
        "currency": "USDC",
        "version": "2",
        "vulnerabilityId": vulnerability["id"],
    }


def test_a_reservation_beyond_the_available_amount_emits_and_stores_nothing(stack, js, protocol_id):
    deposit(stack.api, protocol_id, "100.00")
    watcher = stack.watch(js, protocol_id)
    body = {"title": "Too expensive", "severity": "LOW", "bounty": "100.01"}

    refused = stack.api.validator.post(f"/protocols/{protocol_id}/vulnerabilities", body)
    deposit(stack.api, protocol_id, "1.00", reference="after")

    assert (refused.status, refused.code) == (409, "INSUFFICIENT_FUNDS")
    watcher.wait_for_event("bounty_pool:updated", reference="after")
    assert len(watcher.events()) == 1
    assert stack.api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities").expect(200)["items"] == []
