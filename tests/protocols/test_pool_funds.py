"""The totals of a pool over its life: after a payout, in each event, and at the limits."""

import json

import pytest
from sqlalchemy import select, text

from app.core.database import transaction
from app.core.extensions import db
from app.payments.reconciliation import read_ledger
from app.realtime.outbox import OutboxEvent
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.money import books, confirmed, funded_protocol, pool, request_payment, settle
from tests.support.readings import values_of

SMALLEST = "0.000001"


def totals(api, protocol_id: str) -> tuple[str, str, str, str]:
    found = pool(api, protocol_id)
    return found["total"], found["available"], found["reserved"], found["paid"]


def paid_out(app, api, protocol_id: str, amount: str) -> str:
    """Pay so much of the pool out; returns the payment's id."""
    payment = request_payment(api, confirmed(api, protocol_id, amount))
    settle(app, payment["id"])
    return payment["id"]


def events_of(app, protocol_id: str) -> list[dict[str, str]]:
    with app.app_context():
        query = select(OutboxEvent.data_json).where(OutboxEvent.protocol_id == protocol_id)
        rows = db.session.scalars(query.order_by(OutboxEvent.position))
        return [data for data in map(json.loads, rows) if "changeType" in data]


def test_after_a_payout_exactly_what_is_left_can_be_reserved(app, api):
    protocol_id = funded_protocol(api, "100.00")
    paid_out(app, api, protocol_id, "30.00")
    assert totals(api, protocol_id) == ("100.00", "70.00", "0.00", "30.00")

    body = {"title": "t", "severity": "LOW", "bounty": "70.000001"}
    refused = api.validator.post(f"/protocols/{protocol_id}/vulnerabilities", body)
    assert (refused.status, refused.code) == (409, "INSUFFICIENT_FUNDS")
    assert "70.000001" in refused.json["detail"]
    assert "70.00 USDC available" in refused.json["detail"]
    assert totals(api, protocol_id) == ("100.00", "70.00", "0.00", "30.00")

    file_vulnerability(api, protocol_id, bounty="70.00")
    assert totals(api, protocol_id) == ("100.00", "0.00", "70.00", "30.00")
    refused = api.validator.post(f"/protocols/{protocol_id}/vulnerabilities", body | {"bounty": SMALLEST})
    assert refused.code == "INSUFFICIENT_FUNDS"
    assert books(app) == []


def test_a_pool_can_be_paid_out_to_its_last_unit_and_filled_again(app, api):
    protocol_id = funded_protocol(api, "10.000001")
    paid_out(app, api, protocol_id, "10.000001")
    assert totals(api, protocol_id) == ("10.000001", "0.00", "0.00", "10.000001")

    deposit(api, protocol_id, "5.00")
    assert totals(api, protocol_id) == ("15.000001", "5.00", "0.00", "10.000001")
    paid_out(app, api, protocol_id, "5.00")
    assert totals(api, protocol_id) == ("15.000001", "0.00", "0.00", "15.000001")
    assert books(app) == []


def test_the_largest_amount_counts_what_was_paid_as_well(app, api):
    protocol_id = funded_protocol(api, "999999999999.999998")
    paid_out(app, api, protocol_id, "999999999999.999998")
    deposit(api, protocol_id, SMALLEST)
    refused = api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": SMALLEST})
    assert (refused.status, refused.code) == (409, "AMOUNT_TOO_LARGE")
    assert "999999999999.999999" in refused.json["detail"]
    assert pool(api, protocol_id)["available"] == SMALLEST


def test_six_decimals_are_stored_exactly_and_seven_are_refused(api):
    protocol_id = make_protocol(api)
    for amount, status in ((SMALLEST, 201), ("0.0000001", 422), ("1.123456", 201), ("1.1234567", 422)):
        assert api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": amount}).status == status, amount
    assert pool(api, protocol_id)["total"] == "1.123457"


def test_each_pool_event_has_only_the_fields_of_its_change(app, api):
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "100.00", reference="invoice 7")
    deposit(api, protocol_id, "1.00")
    path = confirmed(api, protocol_id, "40.00")
    payment = request_payment(api, path, amount="30.00")
    settle(app, payment["id"])
    vulnerability_id = path.split("/")[-1]

    about = {"changeType", "amount", "total", "available", "reserved", "paid", "currency", "version"}
    events = events_of(app, protocol_id)

    assert [(each["changeType"], each["amount"], each["version"]) for each in events] == [
        ("DEPOSIT", "100.00", "1"), ("DEPOSIT", "1.00", "2"), ("RESERVATION", "40.00", "3"),
        ("RESERVATION_RELEASED", "10.00", "4"), ("PAYMENT_RELEASED", "30.00", "5"),
    ]  # fmt: skip
    assert [(each["total"], each["available"], each["reserved"], each["paid"]) for each in events] == [
        ("100.00", "100.00", "0.00", "0.00"), ("101.00", "101.00", "0.00", "0.00"),
        ("101.00", "61.00", "40.00", "0.00"), ("101.00", "71.00", "30.00", "0.00"),
        ("101.00", "71.00", "0.00", "30.00"),
    ]  # fmt: skip
    extra = [{name: value for name, value in each.items() if name not in about} for each in events]
    assert extra[0] == {"reference": "invoice 7"}
    assert extra[1] == {}
    assert extra[2] == {"vulnerabilityId": vulnerability_id}
    assert extra[3]["vulnerabilityId"] == vulnerability_id
    assert (extra[4]["vulnerabilityId"], extra[4]["paymentId"]) == (vulnerability_id, payment["id"])
    assert {each["currency"] for each in events} == {"USDC"}
    entries = api.viewer.get(f"/protocols/{protocol_id}/pool/entries").expect(200)["items"]
    assert [(each["changeType"], each["amount"], each["total"], each["available"]) for each in reversed(entries)] == [
        (each["changeType"], each["amount"], each["total"], each["available"]) for each in events
    ]
    assert [each["paymentId"] for each in entries[:1]] == [payment["id"]]


def test_a_deposit_is_audited_with_the_totals_before_and_after_it(api):
    protocol_id = funded_protocol(api, "100.00")
    entry = deposit(api, protocol_id, "5.00", reference="r")["entry"]
    [found] = [each for each in api.admin.get("/audit").expect(200)["items"] if each["targetId"] == entry["id"]]
    assert (found["action"], found["protocolId"]) == ("DEPOSIT", protocol_id)
    assert found["before"] == {"total": "100.00", "version": found["before"]["version"]}
    assert str(found["before"]["version"]) == "1"
    assert found["after"] | {"version": "2"} == {
        "total": "105.00", "version": "2", "amount": "5.00", "reference": "r",
    }  # fmt: skip


def test_every_page_but_the_last_has_a_cursor(api):
    protocol_id = make_protocol(api)
    for amount in ("1.00", "2.00"):
        deposit(api, protocol_id, amount)
    path = f"/protocols/{protocol_id}/pool/entries"
    first = api.viewer.get(f"{path}?limit=1").expect(200)
    second = api.viewer.get(f"{path}?limit=1&cursor={first['nextCursor']}").expect(200)
    assert [each["amount"] for page in (first, second) for each in page["items"]] == ["2.00", "1.00"]
    assert second["nextCursor"] is None
    assert api.viewer.get(f"{path}?limit=2").expect(200)["nextCursor"] is None
    assert [api.viewer.get(f"{path}?limit={limit}").status for limit in (0, 1, 200, 201)] == [422, 200, 200, 422]


@pytest.mark.parametrize("length", [1, 200, 201])
def test_a_reference_has_one_to_two_hundred_characters(api, length):
    answer = api.owner.post(f"/protocols/{make_protocol(api)}/deposits", {"amount": "1", "reference": "r" * length})
    assert answer.status == (422 if length > 200 else 201)


@pytest.mark.parametrize("column", ["total_minor", "reserved_minor", "paid_minor"])
def test_the_metric_counts_each_pool_that_differs_from_its_newest_entry_in_anything(app, api, column):
    empty, sound, forged = make_protocol(api), funded_protocol(api), funded_protocol(api)
    paid_out(app, api, sound, "1.00")
    with app.app_context():
        assert values_of(read_ledger()[0]) == {"": 0.0}
        with transaction() as session:
            statement = f"UPDATE bounty_pools SET {column} = {column} + 1 WHERE protocol_id = :forged"
            session.execute(text(statement), {"forged": forged})
        assert values_of(read_ledger()[0]) == {"": 1.0}
    assert {found for found, _ in books(app)} == {forged}
    assert empty
