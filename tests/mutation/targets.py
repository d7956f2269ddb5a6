"""What is mutated, and which tests may notice: quick ones, without whole systems. The one table to change on a rename.

For Python only those of the tests are run that reach the mutated line (line_record.py), so a list may be generous.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Files below `folder` with this ending; `tests` are arguments for pytest, the likeliest to fail first."""

    folder: str
    tests: tuple[str, ...]
    ending: str = ".py"
    skipped: tuple[str, ...] = ()


# One kind of database: what only PostgreSQL does is held by the whole suite.
DESELECTED = "not postgresql and not slow"

_ROOMS = (
    "tests/integration/test_room_limits.py",
    "tests/integration/test_closing_order.py",
    "tests/integration/test_batched_views.py",
    "tests/integration/test_meter.py",
    "tests/integration/test_coalescer.py",
    "tests/integration/test_closings.py",
)
_MONEY = (
    "tests/unit/test_ledger.py",
    "tests/unit/test_payment_rules.py",
    "tests/integration/test_pool_funds.py",
    "tests/integration/test_books.py",
)

TARGETS = {
    "realtime": Target(
        "app/realtime",
        (
            *_ROOMS,
            "tests/integration/test_relay_failures.py",
            "tests/integration/test_drain_scheduling.py",
            "tests/unit/test_connection_limits.py",
            "tests/unit/test_origins.py",
            "tests/integration/test_presence.py",
            "tests/integration/test_hotline.py",
            "tests/integration/test_retention.py",
            "tests/integration/test_money_outbox.py",
        ),
        skipped=("membership.py", "packets.py", "sessions.py", "sockets.py", "gauges.py"),  # held by whole systems
    ),
    "bounties": Target("app/bounties", (*_MONEY, "tests/integration/test_bounties.py")),
    "payments": Target(
        "app/payments",
        (
            *_MONEY,
            "tests/integration/test_payment_timing.py",
            "tests/integration/test_payments.py",
            "tests/integration/test_payout_gateway.py",
            "tests/integration/test_stats.py",
        ),
    ),
    "auth": Target(
        "app/auth",
        (
            "tests/unit/test_permissions.py",
            "tests/unit/test_token_claims.py",
            "tests/integration/test_idempotency_edges.py",
            "tests/integration/test_revocation_outages.py",
            "tests/integration/test_auth.py",
            "tests/integration/test_idempotency.py",
            "tests/integration/test_revocation.py",
            "tests/integration/test_limits.py",
            "tests/integration/test_key_sets.py",
            "tests/integration/test_jwks.py",
        ),
    ),
    "lua": Target("app/realtime/lua", _ROOMS[:-1], ending=".lua"),
}
