"""Values at the edges of what parsers accept, and a seeded generator of requests made of them."""

import json
import random
from typing import Any

STRINGS = [
    "", " ", "\x00", "a\x00b", "\ud800", "x\udfffy", "😀" * 80, "A" * 100_000, "../../etc/passwd", "' OR 1=1 --", "%00",
    "{}", "null", "-1", "1e999", "NaN", "Infinity", "٣", "1.0000001", "0", "0.0", "-5", "999999999999.999999",
    "1000000000000", "1e5", "+1", " 1", "1 ", "\u202e", "\n", "\x7f", "é", "P 1", "PENDING", "CRITICAL", "COMPLETED",
    "FAILED", "RUNNING", "1", "100", "2026-11-22T20:30:00.123Z", "2026-11-22T20:30:00", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "<script>alert(1)</script>", "${jndi:ldap://x}", "{{7*7}}",
]  # fmt: skip
NUMBERS = [0, -1, 1, 100, 101, 0.1, -0.0, 1e308, 2**31, 2**53, 2**63, -(2**63) - 1, 10**30, True, False, None]
RAW_BODIES = [
    b"", b"{", b"null", b"[]", b'"text"', b"NaN", b'{"amount": NaN}', b'{"amount": 1e400}', b"\xff\xfe\x00",
    b'{"name": "\xff"}', b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900, b'{"amount": "1", "amount": "2"}',
    b'{"name": "\\ud800"}', b'{"name": "\\u0000"}', b"9" * 5000, b'{"amount": ' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"), b"{}" + b" " * 200_000, b"\x00" * 100, b'{"updates": []}',
    b'{"updates": [1, null, "x", []]}',
    b'{"updates": ' + json.dumps([{}] * 501).encode() + b"}",
]  # fmt: skip
FIELDS = [
    "id", "name", "currency", "amount", "reference", "type", "protocolId", "task", "progress", "status", "error",
    "estimatedCompletion", "nextTask", "updates", "agentId", "title", "severity", "bounty", "description", "reason",
    "recipient", "jti", "subject", "__proto__", "unknown",
]  # fmt: skip
QUERY_NAMES = ["limit", "cursor", "status", "severity", "sort", "protocolId", "agentBatches", "action", "subject", "x"]
CURSORS = [
    "",
    "e30",
    "W10",
    "WzFd",
    "W251bGxd",
    "WyJhIl0",
    "WzFlOTld",
    "W3RydWVd",
    "Wy0xXQ",
    "****",
    "é",
    "WyJcdTAwMDAiXQ",
]
TYPES = [
    "application/json", "application/json; charset=utf-16", "text/plain", "", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "application/vnd.api+json", "application/json; charset=nonsense", "*/*",
]  # fmt: skip


class Generator(random.Random):
    """Generates values and requests; the same seed generates the same ones."""

    def value(self, depth: int = 3) -> Any:
        kind = self.random()
        if kind < 0.45 or depth == 0:
            return self.choice(STRINGS)
        if kind < 0.75:
            return self.choice(NUMBERS)
        if kind < 0.87:
            return [self.value(depth - 1) for _ in range(self.randrange(4))]
        return {self.choice(FIELDS): self.value(depth - 1) for _ in range(self.randrange(4))}

    def body(self, templates: list[dict[str, Any]]) -> bytes:
        """A valid body with up to two members replaced, an invalid body, or bytes that are not JSON."""
        kind = self.random()
        if kind < 0.2:
            return self.choice(RAW_BODIES)
        fields = dict(self.choice(templates)) if kind < 0.9 else {}
        for _ in range(self.randrange(3)):
            fields[self.choice([*fields, *FIELDS])] = self.value()
        if fields and self.random() < 0.2:
            fields.pop(self.choice(list(fields)))
        return json.dumps(fields).encode()

    def query(self) -> dict[str, str]:
        names = [self.choice(QUERY_NAMES) for _ in range(self.randrange(3))]
        return {name: self.query_value(name) for name in names}

    def query_value(self, name: str) -> str:
        choices = CURSORS if name == "cursor" and self.random() < 0.8 else [text for text in STRINGS if len(text) < 500]
        return self.choice(choices)

    def segment(self, known: list[str]) -> str:
        return self.choice(known) if self.random() < 0.7 else self.choice(STRINGS)[:2000]
