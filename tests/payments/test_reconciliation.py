"""Reconciliation finds changes that were made directly in the database."""

import sqlite3
from contextlib import closing

import psycopg
import pytest
from flask import Flask

from app.core.extensions import db
from app.payments.reconciliation import read_ledger
from tests.factories import deposit, file_vulnerability
from tests.support.api import Api
from tests.support.money import books, confirmed, funded_protocol, request_payment, settle
from tests.support.readings import values_of

GUARDS = ("bounty_entries_no_update", "bounty_entries_no_delete")


def forge(app: Flask, statement: str) -> None:
    """Run a statement past every trigger and every foreign key."""
    with app.app_context():
        url = db.engine.url
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(url.database), isolation_level=None)) as connection:
            for guard in GUARDS:
                connection.execute(f"DROP TRIGGER IF EXISTS {guard}")
            connection.execute(statement)
    else:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(statement)


@pytest.fixture
def protocol_id(app: Flask, api: Api) -> str:
    """Entries: two deposits, a reservation, the reservation of a payment, the payment."""
    made = funded_protocol(api)
    deposit(api, made, "5.00")
    file_vulnerability(api, made, bounty="3.00")
    payment = request_payment(api, confirmed(api, made, "2.00"))
    settle(app, payment["id"])
    file_vulnerability(api, made)
    assert books(app) == []
    return made


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE bounty_pools SET total_minor = total_minor + 1",
        "UPDATE bounty_pools SET version = version - 1",
        "UPDATE bounty_entries SET amount_minor = amount_minor + 1 WHERE version = 2",
        "UPDATE bounty_entries SET total_minor = total_minor + 1 WHERE version = 1",
        "UPDATE bounty_entries SET change_type = 'DEPOSIT' WHERE version = 3",
        "UPDATE bounty_entries SET change_type = 'GIFT' WHERE version = 2",
        "UPDATE bounty_entries SET payment_id = 'another' WHERE change_type = 'PAYMENT_RELEASED'",
        "DELETE FROM bounty_entries WHERE version = 2",
        "DELETE FROM bounty_entries WHERE version = 5",
        "DELETE FROM bounty_pools",
        "UPDATE vulnerabilities SET reserved_minor = reserved_minor + 1 WHERE status = 'PENDING'",
        "UPDATE vulnerabilities SET reserved_minor = 9223372036854775807",
        "UPDATE payments SET status = 'FAILED'",
        "UPDATE payments SET amount_minor = amount_minor + 1",
        "DELETE FROM payments",
    ],
)
def test_every_mismatch_is_found_with_its_protocol(app, protocol_id, forgery):
    forge(app, forgery)
    assert {found for found, _ in books(app)} == {protocol_id}


def test_a_released_payment_without_a_charge_is_found(app, api, protocol_id):
    waiting = request_payment(api, confirmed(api, protocol_id, "1.00"))["id"]
    forge(app, f"UPDATE payments SET status = 'RELEASED' WHERE id = '{waiting}'")
    assert books(app) == [(protocol_id, f"payment {waiting} is RELEASED, and no entry charges it")]


def test_one_mismatch_does_not_hide_another(app, api, protocol_id):
    other = funded_protocol(api)
    forge(app, f"UPDATE bounty_entries SET change_type = 'GIFT' WHERE protocol_id = '{protocol_id}' AND version = 1")
    forge(app, f"UPDATE bounty_pools SET total_minor = 1 WHERE protocol_id = '{other}'")
    found = dict(books(app))
    assert set(found) == {protocol_id, other}
    assert "'GIFT' is not a valid ChangeType" in found[protocol_id]


@pytest.mark.parametrize("forgery", ["DELETE FROM bounty_pools", "UPDATE bounty_pools SET reserved_minor = 0"])
def test_the_metric_counts_pools_that_are_missing_or_differ(app, protocol_id, forgery):
    forge(app, forgery)
    with app.app_context():
        assert values_of(read_ledger()[0]) == {"": 1.0}
