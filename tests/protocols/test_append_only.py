"""SQLite's REPLACE deletes the row in its way without asking the triggers that refuse DELETE: it is refused itself."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.core.extensions import db
from app.payments import settlement
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.api import Api
from tests.support.emissions import await_marks

pytestmark = pytest.mark.database("sqlite")

AUDIT = "at, action, role, request_id, protocol_id, target_id, subject"
AMOUNTS = "amount_minor, total_minor, reserved_minor, paid_minor"
LEDGER = f"change_type, {AMOUNTS}, vulnerability_id, payment_id, actor, created_at"
ANOTHER = "lower(hex(randomblob(16)))"
IN_PLACE_OF = {
    "an audit entry": f"audit_entries (id, {AUDIT}) SELECT id, {AUDIT} FROM audit_entries",
    "an audit entry, by its row": f"audit_entries (rowid, {AUDIT}) SELECT rowid, {AUDIT} FROM audit_entries",
    "a ledger entry": f"bounty_entries (id, protocol_id, version, {LEDGER}) "
    f"SELECT id, protocol_id, version + 100, {LEDGER} FROM bounty_entries WHERE version = 1",
    "a ledger entry, by its row": f"bounty_entries (rowid, id, protocol_id, version, {LEDGER}) "
    f"SELECT rowid, {ANOTHER}, protocol_id, version + 100, {LEDGER} FROM bounty_entries WHERE version = 1",
    "a version of the ledger": f"bounty_entries (id, protocol_id, version, {LEDGER}) "
    f"SELECT {ANOTHER}, protocol_id, version, {LEDGER} FROM bounty_entries WHERE version = 1",
    "a payment's charge": f"bounty_entries (id, protocol_id, version, {LEDGER}) SELECT {ANOTHER}, protocol_id, "
    f"version + 100, {LEDGER} FROM bounty_entries WHERE change_type = 'PAYMENT_RELEASED'",
}
ROWS = (
    "SELECT 'audit', rowid, id, subject FROM audit_entries "
    "UNION ALL SELECT 'ledger', rowid, id, version FROM bounty_entries"
)


@pytest.fixture
def paid_protocol(api: Api, in_context) -> None:
    """Entries of every kind: a deposit, a reservation, a payment."""
    protocol_id = make_protocol(api)
    deposit(api, protocol_id, "10.00")
    vulnerability_id = file_vulnerability(api, protocol_id, bounty="4.00")["id"]
    api.validator.post(f"/vulnerabilities/{vulnerability_id}/confirm", {}).expect(200)
    payment = api.owner.post(f"/vulnerabilities/{vulnerability_id}/payment", {"recipient": "0xabc"}).expect(202)
    settlement.settle(payment["id"])
    await_marks()  # a mark would lock the database
    db.session.remove()


def rows() -> list[tuple]:
    with db.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(ROWS))]


@pytest.mark.parametrize("verb", ["INSERT OR REPLACE INTO", "REPLACE INTO"])
@pytest.mark.parametrize("what", IN_PLACE_OF)
@pytest.mark.usefixtures("paid_protocol")
def test_an_append_only_row_cannot_be_replaced(what: str, verb: str) -> None:
    before = rows()
    assert len(before) > 4

    with db.engine.begin() as console, pytest.raises(IntegrityError, match="append-only"):
        console.execute(text(f"{verb} {IN_PLACE_OF[what]}"))

    assert rows() == before
