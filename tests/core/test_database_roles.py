"""The role of `deploy/postgres/roles.sql` can run the application but cannot change ledger or audit log."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from app.payments.reconciliation import mismatches
from tests.support.api import Api
from tests.support.money import confirmed, funded_protocol, request_payment, settle
from tests.support.servers import Postgres

pytestmark = pytest.mark.database("postgresql")

ROLES = Path(__file__).parents[2] / "deploy/postgres/roles.sql"
ROLE = "dashboard_app"
FORBIDDEN = [
    "UPDATE bounty_entries SET amount_minor = 1",
    "DELETE FROM bounty_entries",
    "TRUNCATE bounty_entries",
    "ALTER TABLE bounty_entries DISABLE TRIGGER ALL",
    "DROP TRIGGER bounty_entries_append_only ON bounty_entries",
    "CREATE OR REPLACE FUNCTION bounty_entries_append_only() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
    "DROP TABLE bounty_entries",
    "UPDATE audit_entries SET subject = 'x'",
    "DELETE FROM audit_entries",
    "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
    "CREATE TABLE of_its_own (id int)",
    "SET session_replication_role = replica",
    "SET ROLE postgres",
]


@pytest.fixture
def role_url(postgres: Postgres, postgres_url: str) -> str:
    """The database as the application's role sees it; the script has run twice, as after a second migration."""
    with psycopg.connect(plain(postgres_url)) as owner:
        owner.execute(ROLES.read_text(encoding="utf-8"))
        owner.execute(ROLES.read_text(encoding="utf-8"))
    postgres.run(f"ALTER ROLE {ROLE} LOGIN")
    return postgres_url.replace("postgres@", f"{ROLE}@")


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def test_the_application_works_as_a_role_that_owns_nothing(app_with: Callable[..., Api], role_url: str) -> None:
    api = app_with(DATABASE_URL=role_url)
    app = api.transport.client.application
    protocol_id = funded_protocol(api)
    path = confirmed(api, protocol_id, "40.00")
    payment_id = request_payment(api, path)["id"]
    settle(app, payment_id)

    assert api.viewer.get(f"/payments/{payment_id}").expect(200)["status"] == "RELEASED"
    assert api.admin.get(f"/audit?protocolId={protocol_id}").expect(200)["items"]
    api.admin.post("/tokens/revoke", {"jti": "x", "reason": "r"})
    with app.app_context():
        assert mismatches() == []
    with psycopg.connect(plain(role_url)) as role:
        assert role.execute("DELETE FROM outbox_events").rowcount > 0  # as its retention does


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_role_is_denied(statement: str, app_with: Callable[..., Api], role_url: str) -> None:
    funded_protocol(app_with(DATABASE_URL=role_url))

    with psycopg.connect(plain(role_url)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)


def test_tables_of_a_later_migration_can_be_used_before_the_script_runs_again(postgres_url: str, role_url: str) -> None:
    with psycopg.connect(plain(postgres_url)) as owner:
        owner.execute("CREATE TABLE later (id bigserial PRIMARY KEY)")
    with psycopg.connect(plain(role_url)) as role:
        role.execute("INSERT INTO later DEFAULT VALUES")
        assert role.execute("DELETE FROM later").rowcount == 1
