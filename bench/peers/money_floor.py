"""The statements of a deposit alone, prepared: `python money_floor.py DATABASE_URL COUNT PROTOCOL…` prints its CPU time.

No HTTP, no JSON to validate, no SQLAlchemy: what the driver and, with SQLite, the database itself cost.
"""

import itertools
import json
import sqlite3
import sys
import time
import uuid

URL, COUNT, PROTOCOLS = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
BODY = json.dumps({"entry": {str(n): "1.50" for n in range(12)}, "pool": {str(n): "1.50" for n in range(6)}})
DATA = json.dumps({str(n): "1.50" for n in range(8)})
NOW = "2026-11-26 10:00:00.000000"
DEPOSIT = [
    "INSERT INTO idempotency_keys (subject, key, fingerprint, status, body, created_at) VALUES "
    f"('bench', :entry, '{'0' * 64}', 201, '{BODY}', '{NOW}')",
    "UPDATE bounty_pools SET total_minor = total_minor + 1500000, version = version + 1 WHERE protocol_id = :protocol "
    "AND total_minor + 1500000 <= 999999999999999999 RETURNING total_minor, reserved_minor, paid_minor, version",
    "INSERT INTO bounty_entries (id, protocol_id, version, change_type, amount_minor, total_minor, reserved_minor, "
    "paid_minor, actor, created_at) VALUES (:entry, :protocol, :version, 'DEPOSIT', 1500000, :total, 0, 0, 'bench', "
    f"'{NOW}')",
    "UPDATE event_counters SET position = position + 1 WHERE protocol_id = :protocol RETURNING position",
    "INSERT INTO outbox_events (protocol_id, position, event_type, data_json, request_id, created_at) VALUES "
    f"(:protocol, :position, 'bounty_pool:updated', '{DATA}', 'bench', '{NOW}') RETURNING id",
    "INSERT INTO audit_entries (at, action, subject, role, request_id, protocol_id, target_id, before, after) VALUES "
    f"('{NOW}', 'DEPOSIT', 'bench', 'owner', 'bench', :protocol, :entry, '{DATA}', '{DATA}')",
]
MARK = f"UPDATE outbox_events SET published_at = '{NOW}' WHERE id = :event"


def connect():
    """Two functions: run a statement, and run a list of them in one transaction."""
    if URL.startswith("sqlite"):
        connection = sqlite3.connect(URL.removeprefix("sqlite:///"), isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection, "BEGIN IMMEDIATE", lambda statement: statement
    import psycopg

    connection = psycopg.connect(URL.replace("+psycopg", ""), autocommit=True, prepare_threshold=0)
    names = ("protocol", "entry", "version", "total", "position", "event")

    def pyformat(statement):
        for name in names:
            statement = statement.replace(f":{name}", f"%({name})s")
        return statement

    return connection, "BEGIN", pyformat


connection, begin, spelled = connect()
statements, mark = [spelled(each) for each in DEPOSIT], spelled(MARK)


def deposit(protocol):
    values = {"protocol": protocol, "entry": str(uuid.uuid4())}
    key, pool, entry, counter, event, audit = statements
    connection.execute(begin)
    connection.execute(key, values)
    values["total"], _, _, values["version"] = connection.execute(pool, values).fetchone()
    connection.execute(entry, values)
    values["position"] = connection.execute(counter, values).fetchone()[0]
    values["event"] = connection.execute(event, values).fetchone()[0]
    connection.execute(audit, values)
    connection.execute("COMMIT")
    connection.execute(mark, values)


protocols = itertools.cycle(PROTOCOLS)
for _ in range(20):
    deposit(next(protocols))
cpu, began = time.process_time(), time.monotonic()
for _ in range(COUNT):
    deposit(next(protocols))
found = {"web": (time.process_time() - cpu) / COUNT * 1e3, "per_second": COUNT / (time.monotonic() - began)}
print(json.dumps(found))
