"""With many rows the statements of the hot requests find theirs by an index, on both kinds of database."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import event, insert, text

from app.core.database import utc_now
from app.core.extensions import db
from app.payments import settlement
from app.realtime import outbox
from app.webhooks import expansion, lease
from app.webhooks import settlement as webhook_settlement
from app.webhooks.attempts import Outcome, Result
from app.webhooks.models import WebhookDelivery
from bench import database_rows
from tests.factories import deposit, file_vulnerability, make_protocol

PROTOCOLS = 25
EACH = 400
AGENTS = 2_000
BIG = ["agents", "agent_tasks", "vulnerabilities", "bounty_entries", "payments", "outbox_events", "webhook_deliveries"]


@pytest.fixture
def protocol_ids(in_context, api):
    ids = [make_protocol(api) for _ in range(PROTOCOLS)]
    database_rows.fill(ids, each=EACH, agents=AGENTS)
    db.session.execute(text("ANALYZE"))
    db.session.commit()
    return ids


def hot_requests(api, protocol_id):
    """What a busy system does all day."""
    deposit(api, protocol_id, "1000.00")
    found = file_vulnerability(api, protocol_id, bounty="10.00")["id"]
    api.validator.post(f"/vulnerabilities/{found}/confirm", {}).expect(200)
    payment = api.owner.post(f"/vulnerabilities/{found}/payment", {"recipient": "0xabc"}).expect(202)
    settlement.settle(payment["id"])
    for path in ("state", "vulnerabilities", "vulnerabilities?status=PENDING", "pool/entries", "payments"):
        api.viewer.get(f"/protocols/{protocol_id}/{path}").expect(200)
    api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities?sort=severity").expect(200)
    for path in (
        "payments?status=FAILED",
        "pool/entries?changeType=DEPOSIT&to=2026-01-01",
        "vulnerabilities?reserved=true",
    ):
        api.viewer.get(f"/protocols/{protocol_id}/{path}").expect(200)
    api.viewer.get(f"/vulnerabilities/{found}/history").expect(200)
    api.as_("viewer", protocols=[protocol_id]).get("/overview").expect(200)
    body = {"protocolId": protocol_id, "task": "Scan Vault.sol", "status": "COMPLETED"}
    api.admin.post("/agents/agent-0/progress", body).expect(202)
    api.viewer.get("/agents/agent-0/tasks").expect(200)
    outbox.sweep()
    settlement.sweep()


def recorded(run):
    """The statements, with their values, that `run()` sent."""
    statements = {}

    def record(_connection, _cursor, statement, parameters, _context, executemany):
        if re.match(r"\s*(SELECT|UPDATE|DELETE)", statement):
            statements[statement] = parameters[0] if executemany else parameters

    event.listen(db.engine, "before_cursor_execute", record)
    try:
        run()
    finally:
        event.remove(db.engine, "before_cursor_execute", record)
    return statements


def plan_of(statement, parameters):
    word = "EXPLAIN QUERY PLAN " if db.engine.dialect.name == "sqlite" else "EXPLAIN "
    with db.engine.connect() as connection:
        rows = connection.exec_driver_sql(word + statement, parameters).all()
    return [str(row[-1]) for row in rows]


def scanned_tables(plan):
    """The big tables that the plan reads from end to end."""
    pattern = r"Seq Scan on (\w+)" if db.engine.dialect.name == "postgresql" else r"^SCAN (\w+)(?! USING)"
    return [name for line in plan for name in re.findall(pattern, line) if name in BIG]


def test_no_hot_statement_reads_a_big_table_from_end_to_end(api, protocol_ids):
    statements = recorded(lambda: hot_requests(api, protocol_ids[3]))
    assert len(statements) > 15
    unindexed = plan_of("SELECT * FROM vulnerabilities WHERE title = 'x'", ())
    assert scanned_tables(unindexed) == ["vulnerabilities"], "the check detects a statement without an index"
    plans = {statement: plan_of(statement, values) for statement, values in statements.items()}
    scans = {statement: plan for statement, plan in plans.items() if scanned_tables(plan)}
    assert not scans


def test_no_statement_of_the_webhooks_delivery_reads_all_deliveries(in_context, api, protocol_id):
    """10,000 finished deliveries, as many that wait for their next attempt, and a few that are due."""
    body = {"url": "https://hooks.example/", "eventTypes": ["*"]}
    webhook_ids = [api.owner.post(f"/protocols/{protocol_id}/webhooks", body).expect(201)["id"] for _ in range(20)]
    tomorrow = utc_now() + timedelta(days=1)
    common = {"event_type": "x", "body": "{}", "attempts": 1, "failures": 1, "history": [], "created_at": utc_now()}
    states = {"PENDING": {"next_attempt_at": tomorrow}, "SUCCEEDED": {"finished_at": utc_now()}}
    for number, (status, times) in enumerate(states.items()):
        rows = [
            common | times | {"id": f"{status[0]}{index}-{each}", "webhook_id": webhook_id, "status": status}
            | {"position": -1000 * number - each}
            for index, webhook_id in enumerate(webhook_ids)
            for each in range(1, 501)
        ]  # fmt: skip
        db.session.execute(insert(WebhookDelivery), rows)
    db.session.execute(text("ANALYZE"))
    db.session.commit()
    deposit(api, protocol_id, "1.00")

    def deliver() -> None:
        expansion.expand()
        leased = lease.lease_due(lease.Slots())
        assert len(leased) == len(webhook_ids)
        results = [Result(Outcome.DELIVERED, 0.1, 204), Result(Outcome.REFUSED, 0.1, 500, "HTTP 500")]
        webhook_settlement.settle([(each, results[number % 2]) for number, each in enumerate(leased)])

    plans = {statement: plan_of(statement, values) for statement, values in recorded(deliver).items()}

    scans = {statement: plan for statement, plan in plans.items() if "webhook_deliveries" in scanned_tables(plan)}
    assert not scans
