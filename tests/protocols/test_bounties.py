import base64
import json
import random

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.core.database import transaction
from app.core.extensions import db
from app.protocols.models import LedgerEntry
from app.realtime.outbox import OutboxEvent
from tests.factories import deposit, make_protocol
from tests.support.money import at_once, books, funded_protocol, own_api, pool
from tests.support.seeds import SEED

LARGEST = "999999999999.999999"


def test_a_new_protocol_has_an_empty_pool_in_its_currency(api):
    protocol_id = make_protocol(api, currency="DAI")
    assert pool(api, protocol_id) == {
        "protocolId": protocol_id, "currency": "DAI", "total": "0.00", "available": "0.00",
        "reserved": "0.00", "paid": "0.00", "version": "0",
    }  # fmt: skip


def test_a_deposit_returns_its_entry_and_the_pool(api):
    protocol_id = make_protocol(api)
    answer = deposit(api, protocol_id, "1000.5", reference="invoice 7")
    assert answer["pool"] == pool(api, protocol_id)
    assert answer["pool"]["available"] == "1000.50"
    entry = answer["entry"]
    assert (entry["changeType"], entry["amount"], entry["reference"]) == ("DEPOSIT", "1000.50", "invoice 7")
    assert (entry["actor"], entry["version"], entry["total"]) == ("owner-1", "1", "1000.50")


NOT_AMOUNTS = [100, 1.5, True, None, "", "0", "0.00", "-1", "1.0000001", "1e3", "NaN", "1000000000000", ["1"], " 1"]


def test_an_amount_other_than_a_positive_decimal_string_is_422_and_changes_nothing(api):
    protocol_id = make_protocol(api)
    for amount in NOT_AMOUNTS:
        refused = api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": amount})
        assert (refused.status, refused.code) == (422, "VALIDATION_FAILED"), amount
        assert "amount" in refused.json["errors"]
    assert pool(api, protocol_id)["version"] == "0"


def test_each_invalid_field_of_a_deposit_is_named(api):
    path = f"/protocols/{make_protocol(api)}/deposits"
    for fields, named in (
        ({"amount": None}, "amount"),
        ({"x": "y"}, "x"),
        ({"reference": ""}, "reference"),
        ({"reference": " \t\u3000"}, "reference"),
        ({"reference": "a\x00b"}, "reference"),
        ({"reference": "x" * 201}, "reference"),
    ):
        refused = api.owner.post(path, {"amount": "1"} | fields)
        assert refused.status == 422
        assert named in refused.json["errors"]
    assert "amount" in api.owner.post(path, {}).json["errors"]


def test_only_owners_and_admins_deposit(api):
    path = f"/protocols/{make_protocol(api)}/deposits"
    for role, status in {"viewer": 403, "validator": 403, "agent": 403, "owner": 201, "admin": 201}.items():
        assert api.as_(role).post(path, {"amount": "1"}).status == status, role


def test_a_protocol_without_a_grant_and_an_unknown_one_are_the_same_404(api):
    protocol_id = make_protocol(api)
    for path in ("pool", "pool/entries", "payments", "vulnerabilities", "state"):
        stranger = api.as_("viewer", protocols=["other"]).get(f"/protocols/{protocol_id}/{path}")
        missing = api.viewer.get(f"/protocols/not-there/{path}")
        assert (stranger.status, stranger.code) == (missing.status, missing.code) == (404, "PROTOCOL_NOT_FOUND")


def test_a_deposit_to_an_unknown_protocol_is_404(api):
    assert api.owner.post("/protocols/not-there/deposits", {"amount": "1"}).status == 404
    assert api.as_("owner", protocols=["x"]).post("/protocols/y/deposits", {"amount": "1"}).status == 404


def test_the_largest_amount_is_accepted_and_one_unit_more_is_409_and_changes_nothing(api):
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, LARGEST)
    refused = api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "0.000001"})
    assert (refused.status, refused.code) == (409, "AMOUNT_TOO_LARGE")
    assert (pool(api, protocol_id)["total"], pool(api, protocol_id)["version"]) == (LARGEST, "1")


def test_the_ledger_is_listed_newest_first_in_pages_without_gaps_or_repeats(api):
    protocol_id = make_protocol(api)
    for number in range(1, 8):
        deposit(api, protocol_id, str(number))
    amounts, path = [], f"/protocols/{protocol_id}/pool/entries?limit=3"
    page = api.viewer.get(path).expect(200)
    while True:
        amounts += [entry["amount"] for entry in page["items"]]
        if page["nextCursor"] is None:
            break
        page = api.viewer.get(f"{path}&cursor={page['nextCursor']}").expect(200)
    assert amounts == [f"{number}.00" for number in range(7, 0, -1)]


def test_a_cursor_of_another_list_is_422(api):
    path = f"/protocols/{funded_protocol(api)}/pool/entries"
    strange = [
        b"",
        b"[]",
        b"{}",
        b"7",
        b"[true]",
        b"[1.5]",
        b'["a"]',
        b"[1,2]",
        b"[%d]" % 10**30,
        b"[-1]",
        b'["\\u0000"]',
    ]
    for keys in strange:
        cursor = base64.urlsafe_b64encode(keys).decode() or "!"
        assert api.viewer.get(f"{path}?cursor={cursor}").status == 422, keys


@pytest.mark.slow
def test_two_hundred_concurrent_deposits_of_the_smallest_amount_are_all_stored(app, settings, api):
    protocol_id = make_protocol(api)

    def one():
        return deposit(own_api(app, settings), protocol_id, "0.000001")["entry"]["version"]

    versions = at_once(16, [one] * 200)

    assert sorted(map(int, versions)) == list(range(1, 201))
    assert pool(api, protocol_id)["total"] == "0.0002"
    assert books(app) == []


def test_of_twenty_concurrent_reservations_exactly_those_that_fit_succeed(app, settings, api):
    protocol_id = funded_protocol(api, "10000.00")
    body = {"title": "Race", "severity": "HIGH", "bounty": "1000.00"}

    def one():
        return own_api(app, settings).validator.post(f"/protocols/{protocol_id}/vulnerabilities", body).status

    statuses = at_once(20, [one] * 20)

    assert sorted(statuses) == [201] * 10 + [409] * 10
    state = pool(api, protocol_id)
    assert (state["available"], state["reserved"]) == ("0.00", "10000.00")
    assert len(api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities").expect(200)["items"]) == 10


@pytest.mark.slow
def test_random_operations_by_many_threads_never_overdraw_and_always_add_up(app, settings, api):
    protocols = [funded_protocol(api, "50.00") for _ in range(8)]
    seen: list[dict] = []

    def one(seed):
        luck, mine = random.Random(seed), own_api(app, settings)
        protocol_id = luck.choice(protocols)
        amount = f"{luck.randint(1, 3000) / 100:.2f}"
        match luck.randrange(4):
            case 0:
                deposit(mine, protocol_id, amount)
            case 1:
                body = {"title": "Any", "severity": "LOW", "bounty": amount}
                mine.validator.post(f"/protocols/{protocol_id}/vulnerabilities", body)
            case _:
                _decide_any(mine, protocol_id, luck)
        seen.append(mine.viewer.get(f"/protocols/{protocol_id}/state").expect(200)["pool"])

    at_once(8, [lambda seed=SEED + number: one(seed) for number in range(160)])

    with app.app_context():
        events = [json.loads(row) for row in db.session.scalars(select(OutboxEvent.data_json))]
    seen += [event for event in events if "changeType" in event]
    assert all(min(float(each[name]) for name in ("available", "reserved", "paid")) >= 0 for each in seen)
    assert all(
        round(float(each["available"]) + float(each["reserved"]) + float(each["paid"]), 6) == float(each["total"])
        for each in seen
    )
    assert books(app) == []


def _decide_any(api, protocol_id, luck):
    pending = api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities?status=PENDING").expect(200)["items"]
    if pending:
        path = f"/vulnerabilities/{luck.choice(pending)['id']}"
        if luck.random() < 0.5:
            api.validator.post(f"{path}/reject", {"reason": "luck"})
        elif api.validator.post(f"{path}/confirm", {}).status == 200:
            api.owner.post(f"{path}/payment", {"recipient": "r", "amount": "0.01"})


def test_the_event_of_a_change_has_the_totals_of_that_change(app, settings, api):
    protocol_id = make_protocol(api)
    at_once(8, [lambda: deposit(own_api(app, settings), protocol_id, "1.00")] * 40)
    with app.app_context():
        rows = db.session.scalars(
            select(OutboxEvent.data_json).where(OutboxEvent.protocol_id == protocol_id).order_by(OutboxEvent.position)
        )
        told = [(event["version"], event["total"]) for event in map(json.loads, rows)]
    assert told == [(str(number), f"{number}.00") for number in range(1, 41)]


def test_the_database_itself_refuses_an_overdrawn_pool(in_context, api):
    protocol_id = funded_protocol(api, "1.00")
    overdraw = text("UPDATE bounty_pools SET reserved_minor = 1000001 WHERE protocol_id = :id")
    with pytest.raises(IntegrityError), transaction() as session:
        session.execute(overdraw, {"id": protocol_id})


def test_a_ledger_entry_cannot_be_changed_or_removed(in_context, api):
    funded_protocol(api)
    with pytest.raises(DBAPIError, match="append-only"), transaction() as session:
        session.scalars(select(LedgerEntry)).first().amount_minor = 1
    with pytest.raises(DBAPIError, match="append-only"), transaction() as session:
        session.delete(session.scalars(select(LedgerEntry)).first())


@pytest.mark.parametrize("forgery", ["UPDATE bounty_entries SET amount_minor = 1", "DELETE FROM bounty_entries"])
def test_the_database_itself_refuses_to_change_a_ledger_entry(in_context, api, forgery):
    funded_protocol(api)
    with pytest.raises(DBAPIError, match="append-only"):
        db.session.execute(text(forgery))
    db.session.rollback()
