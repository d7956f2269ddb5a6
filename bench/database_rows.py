"""Inserts many rows, as after years of use, for the database benchmark and the test of query plans."""

from datetime import timedelta

from sqlalchemy import insert

from app.agents.models import Agent, AgentTask
from app.core.database import transaction, utc_now
from app.payments.models import Payment
from app.protocols.models import LedgerEntry, Protocol
from app.realtime.outbox import OutboxEvent
from app.vulnerabilities.models import Vulnerability

SEVERITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]
STATUSES = ["PENDING", "CONFIRMED", "REJECTED", "PAID"]
START = utc_now() - timedelta(days=30)
PER_STATEMENT = 1_000


def vulnerability(protocol_id, number, status=None):
    """Its id is its protocol's name and a number, so that a benchmark can name it."""
    rank = number % len(SEVERITIES)
    return {
        "id": f"{protocol_id}-{number:06d}",
        "protocol_id": protocol_id,
        "title": f"Finding {number}",
        "severity": SEVERITIES[rank],
        "severity_rank": rank,
        "status": status or STATUSES[number % len(STATUSES)],
        "reserved_minor": 0,
        "filed_by": "bench",
        "version": 1,
        "created_at": START + timedelta(seconds=number),
        "updated_at": START + timedelta(seconds=number),
    }


def entry(protocol_id, number):
    totals = {"total_minor": (number + 1) * 10**6, "reserved_minor": 0, "paid_minor": 0}
    return totals | {
        "id": f"e-{protocol_id}-{number:06d}",
        "protocol_id": protocol_id,
        "version": 10**6 + number,
        "change_type": "DEPOSIT",
        "amount_minor": 10**6,
        "actor": "bench",
        "created_at": START + timedelta(seconds=number),
    }


def payment(protocol_id, number):
    return {
        "id": f"p-{protocol_id}-{number:06d}",
        "vulnerability_id": f"{protocol_id}-{number:06d}",
        "protocol_id": protocol_id,
        "amount_minor": 10**6,
        "currency": "USDC",
        "recipient": "0xabc",
        "status": "RELEASED",
        "attempts": 1,
        "requested_by": "bench",
        "due_at": START,
        "created_at": START + timedelta(seconds=number),
        "released_at": START + timedelta(seconds=number),
    }


def published_event(protocol_id, number):
    return {
        "protocol_id": protocol_id,
        "position": -number - 1,  # older than what the API will add
        "event_type": "vuln:status_changed",
        "data_json": "{}",
        "request_id": "bench",
        "created_at": START,
        "published_at": START + timedelta(seconds=number),
    }


def agent(number, protocol_id):
    return {
        "id": f"agent-{number}",
        "name": f"Agent {number}",
        "type": "RESEARCHER",
        "created_at": START,
        "task_protocol_id": protocol_id,
    }


def task(number, protocol_id):
    return {
        "agent_id": f"agent-{number}",
        "protocol_id": protocol_id,
        "name": "Scan Vault.sol",
        "status": "COMPLETED",
        "created_at": START,
    }


def add(model, rows):
    """Insert some at a time, each in a transaction, which waits for other writers."""
    rows = list(rows)
    for first in range(0, len(rows), PER_STATEMENT):
        with transaction() as session:
            session.execute(insert(model), rows[first : first + PER_STATEMENT])


def fill(protocol_ids, *, each, agents):
    """Insert `each` rows of every table for each existing protocol, and this many agents with ten tasks each."""
    pairs = [(protocol_id, number) for protocol_id in protocol_ids for number in range(each)]
    for model, row in ((Vulnerability, vulnerability), (LedgerEntry, entry), (OutboxEvent, published_event)):
        add(model, (row(*pair) for pair in pairs))
    add(Payment, (payment(*pair) for pair in pairs if STATUSES[pair[1] % len(STATUSES)] == "PAID"))
    homes = [protocol_ids[number % len(protocol_ids)] for number in range(agents)]
    add(Agent, (agent(number, home) for number, home in enumerate(homes)))
    add(AgentTask, (task(number, home) for number, home in enumerate(homes) for _ in range(10)))


def add_idle_protocols(names):
    """Protocols without pool or counter, to make the table long."""
    now = utc_now()
    add(Protocol, ({"id": name, "name": name, "currency": "USDC", "created_at": now} for name in names))
