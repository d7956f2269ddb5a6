"""The code that is mutated and the tests that should notice: quick tests that start no whole system.

Python mutants are tried only by the tests that reach the changed line (line_record.py), so a list may be generous.
`tests/architecture/test_test_paths.py` checks that every path exists.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """The files in `folder` with this ending; `tests` are test files, those that are likeliest to fail first."""

    folder: str
    tests: tuple[str, ...]
    ending: str = ".py"
    skipped: tuple[str, ...] = ()


# One database is enough here; the whole suite covers the behaviour that only PostgreSQL has.
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
    "tests/protocols/test_pool_rules.py",
    "tests/apidocs/test_event_members.py",
    "tests/payments/test_payment_rules.py",
    "tests/protocols/test_pool_funds.py",
    "tests/payments/test_reconciliation.py",
)

_LUA = Path(__file__).resolve().parents[2] / "app/realtime/lua"

TARGETS = {
    "realtime": Target(
        "app/realtime",
        (
            *_ROOMS,
            "tests/realtime/test_relay_failures.py",
            "tests/realtime/test_drain_scheduling.py",
            "tests/realtime/test_key_upgrade.py",
            "tests/realtime/test_moves.py",
            "tests/realtime/test_partitions.py",
            "tests/realtime/test_retention.py",
            "tests/realtime/test_steady_time.py",
            "tests/realtime/test_clock_steps.py",
            "tests/realtime/test_scheduler.py",
            "tests/realtime/test_older_database.py",
            "tests/sockets/test_presence.py",
            "tests/core/test_retention.py",
            "tests/protocols/test_money_outbox.py",
        ),
        skipped=("collectors.py",),  # its tests start whole systems
    ),
    "protocols": Target(
        "app/protocols",
        (
            *_MONEY,
            "tests/protocols/test_protocols.py",
            "tests/protocols/test_bounties.py",
            "tests/vulnerabilities/test_vulnerability_times.py",
            "tests/http/test_idempotency.py",
            "tests/realtime/test_relay_failures.py",
        ),
    ),
    "webhooks": Target(
        "app/webhooks",
        (
            "tests/webhooks/test_schedule.py",
            "tests/webhooks/test_encryption.py",
            "tests/webhooks/test_expansion.py",
            "tests/webhooks/test_delivery.py",
            "tests/webhooks/test_webhook_retention.py",
            "tests/webhooks/test_webhooks.py",
        ),
    ),
    "payments": Target(
        "app/payments",
        (
            *_MONEY,
            "tests/payments/test_payment_timing.py",
            "tests/payments/test_payment_gauges.py",
            "tests/payments/test_payment_fairness.py",
            "tests/payments/test_payment_attempts.py",
            "tests/payments/test_refused_payments.py",
            "tests/payments/test_payments.py",
            "tests/payments/test_payment_requests.py",
            "tests/audit/test_audit.py",
            "tests/payments/test_payout_gateway.py",
            "tests/snapshot/test_stats.py",
            "tests/snapshot/test_bounds_of_state.py",
        ),
    ),
    "auth": Target(
        "app/auth",
        (
            "tests/auth/test_permissions.py",
            "tests/auth/test_token_claims.py",
            "tests/auth/test_revocation_memory.py",
            "tests/auth/test_revocation_outages.py",
            "tests/auth/test_auth.py",
            "tests/auth/test_revocation.py",
            "tests/auth/test_provider_keys.py",
            "tests/auth/test_key_sets.py",
            "tests/auth/test_jwks.py",
        ),
    ),
    "http": Target(
        "app/http",
        (
            "tests/http/test_idempotency_edges.py",
            "tests/http/test_idempotency.py",
            "tests/http/test_rate_limits.py",
            "tests/http/test_origins.py",
            "tests/http/test_errors.py",
            "tests/http/test_headers.py",
            "tests/http/test_compression.py",
            "tests/http/test_json_bodies.py",
        ),
    ),
    "lua": Target(
        "app/realtime/lua",
        ("tests/realtime/test_beat_lead.py",),
        ending=".lua",
        skipped=tuple(path.name for path in _LUA.glob("*.lua") if path.name != "lease_lead.lua"),  # tests/simulation
    ),
}
