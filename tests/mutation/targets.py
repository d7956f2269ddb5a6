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
    "tests/realtime/test_room_limits.py",
    "tests/realtime/test_terminal_update_order.py",
    "tests/realtime/test_batched_views.py",
    "tests/realtime/test_limiter.py",
    "tests/realtime/test_coalescer.py",
    "tests/agents/test_terminal_updates.py",
)
_MONEY = (
    "tests/bounties/test_pool_rules.py",
    "tests/payments/test_payment_rules.py",
    "tests/bounties/test_pool_funds.py",
    "tests/payments/test_reconciliation.py",
)

TARGETS = {
    "realtime": Target(
        "app/realtime",
        (
            *_ROOMS,
            "tests/realtime/test_relay_failures.py",
            "tests/realtime/test_drain_scheduling.py",
            "tests/realtime/test_key_upgrade.py",
            "tests/sockets/test_connection_limits.py",
            "tests/http/test_origins.py",
            "tests/sockets/test_presence.py",
            "tests/core/test_redis_multiplexer.py",
            "tests/core/test_retention.py",
            "tests/bounties/test_money_outbox.py",
        ),
        skipped=("collectors.py",),  # covered by tests of whole systems
    ),
    "bounties": Target("app/bounties", (*_MONEY, "tests/bounties/test_bounties.py")),
    "payments": Target(
        "app/payments",
        (
            *_MONEY,
            "tests/payments/test_payment_timing.py",
            "tests/payments/test_payments.py",
            "tests/payments/test_payout_gateway.py",
            "tests/snapshot/test_stats.py",
        ),
    ),
    "auth": Target(
        "app/auth",
        (
            "tests/auth/test_permissions.py",
            "tests/auth/test_token_claims.py",
            "tests/http/test_idempotency_edges.py",
            "tests/auth/test_revocation_outages.py",
            "tests/auth/test_auth.py",
            "tests/http/test_idempotency.py",
            "tests/auth/test_revocation.py",
            "tests/http/test_rate_limits.py",
            "tests/auth/test_key_sets.py",
            "tests/auth/test_jwks.py",
        ),
    ),
    "lua": Target("app/realtime/lua", (*_ROOMS[:-1], "tests/realtime/test_key_upgrade.py"), ending=".lua"),
}
