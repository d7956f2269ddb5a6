"""The statements of a deposit alone, prepared: `python money_floor.py DATABASE_URL COUNT PROTOCOL…` prints CPU time.

No HTTP, no JSON to validate, no SQLAlchemy: what the driver and, with SQLite, the database itself cost.
"""

import itertools
import json
import re
import sqlite3
import sys
import time
import uuid

import psycopg

DATA = json.dumps({str(number): "1.50" for number in range(8)})
BODY = json.dumps({"entry": DATA, "pool": DATA})
NOW = "2026-11-26 10:00:00.000000"
STATEMENTS = """
INSERT INTO idempotency_keys (subject, key, fingerprint, status, body, created_at)
    VALUES ('bench', :entry, 'fingerprint', 201, :body, :now);
UPDATE bounty_pools SET total_minor = total_minor + 1500000, version = version + 1
    WHERE protocol_id = :protocol AND total_minor + 1500000 <= 999999999999999999
    RETURNING total_minor, reserved_minor, paid_minor, version;
INSERT INTO bounty_entries (id, protocol_id, version, change_type, amount_minor, total_minor, reserved_minor,
    paid_minor, actor, created_at)
    VALUES (:entry, :protocol, :version, 'DEPOSIT', 1500000, :total, 0, 0, 'bench', :now);
UPDATE event_counters SET position = position + 1 WHERE protocol_id = :protocol RETURNING position;
INSERT INTO outbox_events (protocol_id, position, event_type, data_json, request_id, created_at)
    VALUES (:protocol, :position, 'bounty_pool:updated', :data, 'bench', :now) RETURNING id;
INSERT INTO audit_entries (at, action, subject, role, request_id, protocol_id, target_id, before, after)
    VALUES (:now, 'DEPOSIT', 'bench', 'owner', 'bench', :protocol, :entry, :data, :data);
UPDATE outbox_events SET published_at = :now WHERE id = :event
"""


class Floor:
    def __init__(self, url):
        self.connection, begin, statements = self._connect(url)
        self.begin, self.statements = begin, [each.strip() for each in statements]

    def _connect(self, url):
        """The connection, the statement that begins a transaction, and the statements in the driver's spelling."""
        statements = STATEMENTS.split(";")
        if url.startswith("sqlite"):
            connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
            return connection, "BEGIN IMMEDIATE", statements
        connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True, prepare_threshold=0)
        return connection, "BEGIN", [re.sub(r"(?<!\w):(\w+)", r"%(\1)s", each) for each in statements]

    def deposit(self, protocol):
        values = {"protocol": protocol, "entry": str(uuid.uuid4()), "now": NOW, "data": DATA, "body": BODY}
        key, pool, entry, counter, event, audit, mark = self.statements
        run = self.connection.execute
        run(self.begin)
        run(key, values)
        values["total"], _, _, values["version"] = run(pool, values).fetchone()
        run(entry, values)
        values["position"] = run(counter, values).fetchone()[0]
        values["event"] = run(event, values).fetchone()[0]
        run(audit, values)
        run("COMMIT")
        run(mark, values)


def main():
    url, count, protocols = sys.argv[1], int(sys.argv[2]), itertools.cycle(sys.argv[3:])
    floor = Floor(url)
    for _ in range(20):
        floor.deposit(next(protocols))
    cpu, began = time.process_time(), time.monotonic()
    for _ in range(count):
        floor.deposit(next(protocols))
    milliseconds = (time.process_time() - cpu) / count * 1e3
    print(json.dumps({"web": milliseconds, "per_second": count / (time.monotonic() - began)}))


if __name__ == "__main__":
    main()
