#!/usr/bin/env python3
"""A receiver of webhooks that verifies and deduplicates; it needs only Python's standard library.

    WEBHOOK_SECRET=whsec_… python receiver.py --port 8099 --database webhooks.db

Four rules make it safe and complete:
 1. Verify the signature over the received bytes before parsing them, and refuse old messages. While a secret is being
    rotated there are several signatures: one that fits is enough.
 2. Deliveries come at least once: remember each `webhook-id` in the transaction of its effect.
 3. Deliveries come in any order: `data.version` says which state is newer.
 4. Answer 2xx within ten seconds once the effect is stored, 5xx if it could not be: then the delivery is repeated.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import sqlite3
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAX_AGE_SECONDS = 300
MAX_BODY = 1024 * 1024


def is_genuine(secret, headers, body, now):
    """Standard Webhooks: base64 HMAC-SHA256 of `<id>.<timestamp>.<body>`."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > MAX_AGE_SECONDS:
        return False
    key = base64.b64decode(secret.replace("whsec_", "", 1))
    signed = f"{message_id}.{timestamp}.".encode() + body
    wanted = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = headers.get("webhook-signature", "").encode("utf-8", "replace").split(b" ")
    return any(hmac.compare_digest(wanted, each) for each in given)


class Inbox:
    """Handles each message once."""

    def __init__(self, path, handle):
        self.path, self.handle = path, handle
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, received_at REAL)")

    def take(self, message_id, event):
        """Handle the event unless this id was handled before; an error in `handle` leaves the id unknown."""
        with self._open() as database:  # commits at the end, rolls back after an error
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM messages WHERE received_at < ?", (time.time() - 30 * 86400,))
            new = database.execute("INSERT OR IGNORE INTO messages VALUES (?, ?)", (message_id, time.time()))
            if new.rowcount:
                self.handle(event)

    def _open(self):
        return sqlite3.connect(self.path, timeout=5, isolation_level=None)


class Handler(BaseHTTPRequestHandler):
    timeout = 10  # a connection that stops sending ends

    def do_POST(self):
        given = self.headers.get("Content-Length", "")
        length = int(given) if given.isdecimal() else 0
        if not 0 < length <= MAX_BODY:
            return self.answer(413)
        body = self.rfile.read(length)
        if not is_genuine(self.server.secret, self.headers, body, time.time()):
            return self.answer(401)
        try:
            self.server.inbox.take(self.headers["webhook-id"], json.loads(body))
        except Exception as fault:
            self.log_error("not handled: %s", fault)
            return self.answer(503)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def show(event):
    """Replace this by what shall happen."""
    print(json.dumps(event, ensure_ascii=False), flush=True)


def main(handle=show):
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--database", default="webhooks.db")
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.secret = os.environ["WEBHOOK_SECRET"]
    server.inbox = Inbox(options.database, handle)
    print(f"ready: http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
