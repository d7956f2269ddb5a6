"""Scenario: Bounty pool payment release."""

from tests.factories import deposit, file_vulnerability
from tests.support.processes import until


def test_a_released_payment_is_delivered_with_its_amount_and_the_new_totals(stack, js, protocol_id):
    deposit(stack.api, protocol_id, "1000.00")
    vulnerability = file_vulnerability(stack.api, protocol_id, bounty="400.00")
    path = f"/vulnerabilities/{vulnerability['id']}"
    stack.api.validator.post(f"{path}/confirm", {}).expect(200)
    watcher = stack.watch(js, protocol_id)

    payment = stack.api.owner.post(f"{path}/payment", {"recipient": "0xabc"}).expect(202)

    assert payment["status"] == "PENDING"
    event = watcher.wait_for_event("bounty_pool:updated", changeType="PAYMENT_RELEASED").payload
    assert event["protocolId"] == protocol_id
    assert event["data"] == {
        "changeType": "PAYMENT_RELEASED",
        "amount": "400.00",
        "total": "1000.00",
        "available": "600.00",
        "reserved": "0.00",
        "paid": "400.00",
        "currency": "USDC",
        "version": "3",
        "vulnerabilityId": vulnerability["id"],
        "paymentId": payment["id"],
    }


def test_a_payment_below_the_bounty_first_releases_the_rest_of_the_reservation(stack, js, protocol_id):
    deposit(stack.api, protocol_id, "1000.00")
    vulnerability = file_vulnerability(stack.api, protocol_id, bounty="400.00")
    path = f"/vulnerabilities/{vulnerability['id']}"
    stack.api.validator.post(f"{path}/confirm", {}).expect(200)
    watcher = stack.watch(js, protocol_id)

    body = {"recipient": "0xabc", "amount": "150.00"}
    payment = stack.api.owner.post(f"{path}/payment", body).expect(202)

    watcher.wait_for_event("bounty_pool:updated", changeType="PAYMENT_RELEASED")
    changes = [
        (event.data["changeType"], event.data["amount"], event.data["available"], event.data["reserved"])
        for event in watcher.events("bounty_pool:updated")
    ]
    assert changes == [
        ("RESERVATION_RELEASED", "250.00", "850.00", "150.00"),
        ("PAYMENT_RELEASED", "150.00", "850.00", "0.00"),
    ]
    released = until(
        lambda: (found := stack.api.viewer.get(f"/payments/{payment['id']}").json)["status"] == "RELEASED" and found,
        5,
        "the payment is RELEASED",
    )
    assert (released["amount"], released["attempts"]) == ("150.00", "1")
    assert released["releasedAt"] is not None
