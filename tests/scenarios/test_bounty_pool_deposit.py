"""Scenario: Bounty pool deposit."""

from tests.factories import deposit


def test_a_deposit_is_delivered_with_the_new_totals_and_change_type_deposit(stack, js, protocol_id):
    watcher = stack.watch(js, protocol_id)

    deposit(stack.api, protocol_id, "1000.50", reference="invoice 7")

    event = watcher.wait_for_event("bounty_pool:updated").payload
    assert event["eventType"] == "bounty_pool:updated"
    assert event["protocolId"] == protocol_id
    assert event["data"] == {
        "changeType": "DEPOSIT",
        "amount": "1000.50",
        "total": "1000.50",
        "available": "1000.50",
        "reserved": "0.00",
        "paid": "0.00",
        "currency": "USDC",
        "version": "1",
        "reference": "invoice 7",
    }


def test_each_of_several_deposits_is_delivered_with_its_own_totals(stack, js, protocol_id):
    watcher = stack.watch(js, protocol_id)

    for _ in range(5):
        deposit(stack.api, protocol_id, "0.000001")

    events = watcher.wait_until_count(5)
    assert [event.data["total"] for event in events] == [
        "0.000001", "0.000002", "0.000003", "0.000004", "0.000005",
    ]  # fmt: skip
    assert [event.data["version"] for event in events] == ["1", "2", "3", "4", "5"]
