#!/usr/bin/env python3
"""A payout service for PAYOUT_URL; it needs only Python's standard library.

    PAYOUT_SECRET=… python receiver.py --port 8099 --database payouts.db

Four rules make it safe against repeated, late and forged requests:
 1. Verify the signature over the received bytes before parsing them, and refuse old signatures.
 2. One Idempotency-Key is one payout, permanently: store the key with the response, and answer a repeated request with
    it.
 3. The signature covers the body, not the headers: the key must be the body's `idempotencyKey`, which a payment has
    whose recipient was changed after a refusal, or its `paymentId`. Otherwise a copy of a genuine request under another
    key would be paid again.
 4. Answer 4xx only if the payout can never be made, since it is final. Otherwise answer 5xx, which is retried.
"""

import argparse
import hashlib
import hmac
import json
import os
import sqlite3
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_AGE_SECONDS = 300
MAX_BODY = 64 * 1024


def is_genuine(secret, header, body, now):
    """`X-Signature: t=<Unix seconds>,v1=<hex>`; HMAC-SHA256 of `<t>.<body>`."""
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    timestamp = parts.get("t", "")
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > MAX_AGE_SECONDS:
        return False
    wanted = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), parts.get("v1", "").encode())


class Payouts:
    """The payouts made so far, by key."""

    def __init__(self, path):
        self.path = path
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS payouts (key TEXT PRIMARY KEY, body TEXT, reference TEXT)")

    def pay(self, key, payout):
        """Make this payout once per key; return its reference. Raises ValueError if the key belongs to another one."""
        body = json.dumps(payout, sort_keys=True)
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute("SELECT body, reference FROM payouts WHERE key = ?", (key,)).fetchone()
            if row is None:
                # Move the money here. Pass `key` on, so that the next service also pays only once.
                row = (body, f"tx-{uuid.uuid4().hex}")
                database.execute("INSERT INTO payouts VALUES (?, ?, ?)", (key, *row))
        if row[0] != body:
            raise ValueError("this key was used for another payout")
        return row[1]

    def _open(self):
        return sqlite3.connect(self.path, timeout=5, isolation_level=None)


class Handler(BaseHTTPRequestHandler):
    timeout = 10  # a connection that stops sending ends

    def do_POST(self):
        given = self.headers.get("Content-Length", "")
        length = int(given) if given.isdecimal() else 0
        if not 0 < length <= MAX_BODY:
            return self.answer(413, {"error": "the body is missing or too large"})
        body = self.rfile.read(length)
        if not is_genuine(self.server.secret, self.headers.get("X-Signature", ""), body, time.time()):
            return self.answer(401, {"error": "the signature is not valid"})
        try:
            key, payout = self.headers.get("Idempotency-Key"), json.loads(body)
            if not key or not isinstance(payout, dict) or payout.get("idempotencyKey", payout.get("paymentId")) != key:
                raise ValueError("the Idempotency-Key is not the one in the body")
            reference = self.server.payouts.pay(key, payout)
        except ValueError as fault:
            return self.answer(422, {"error": str(fault)})
        except sqlite3.Error as fault:
            return self.answer(503, {"error": str(fault)})
        return self.answer(200, {"reference": reference})

    def answer(self, status, members):
        body = json.dumps(members).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--database", default="payouts.db")
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.secret = os.environ["PAYOUT_SECRET"]
    server.payouts = Payouts(options.database)
    print(f"ready: http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
