"""Starts slow test files first in a parallel run, so that none of them is left to run alone at the end."""

import pytest

# Seconds on two busy cores; only their order matters. A file that is not listed counts as 0.
SECONDS = {
    "cli/test_up_life.py": 255,
    "faults/test_killed_payment_worker.py": 200,
    "docs/test_examples.py": 134,
    "docs/test_walkthroughs.py": 120,
    "observability/test_metrics_alerts.py": 116,
    "protocols/test_bounties.py": 113,
    "faults/test_broker_and_worker.py": 110,
    "cli/test_up_stuck.py": 107,
    "security/test_rest_fuzz.py": 103,
    "observability/test_telemetry.py": 100,
    "realtime/test_rooms.py": 95,
    "core/test_sentinel.py": 92,
    "apidocs/test_openapi.py": 91,
    "cli/test_cli_web.py": 91,
    "faults/test_killed_parts.py": 85,
    "scenarios/test_event_emission_failure.py": 84,
    "faults/test_redis_outages.py": 84,
    "cli/test_cli_doctor.py": 84,
    "core/test_postgres_reconnect.py": 80,
    "realtime/test_coalescer.py": 79,
    "realtime/fanout/test_fanout.py": 78,
    "apidocs/test_schemathesis.py": 76,
    "browser/": 70,
    "cli/test_cli_simulate.py": 67,
    "sockets/test_socket_limits.py": 65,
    "cli/test_up_sentinel.py": 63,
    "security/test_socket_fuzz.py": 61,
    "sockets/test_sockets.py": 61,
    "protocols/test_pool_against_model.py": 53,
    "core/test_query_plans.py": 49,
    "security/": 46,
    "auth/test_revocation.py": 45,
    "realtime/test_limiter.py": 44,
    "docs/test_example_client.py": 44,
    "payments/test_payments.py": 41,
    "scenarios/": 35,
}


def _seconds(item: pytest.Item) -> int:
    path = item.nodeid.partition("::")[0].removeprefix("tests/")
    return max((seconds for prefix, seconds in SECONDS.items() if path.startswith(prefix)), default=0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=_seconds, reverse=True)
