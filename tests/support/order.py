"""The order of a parallel run: files that take long come first, so that none of them is what all wait for."""

import pytest

# Seconds on two busy cores; only their order counts. A file that is not named takes few.
LONG = {
    "integration/test_up_life.py": 255,
    "faults/test_killed_payment_worker.py": 200,
    "integration/test_examples.py": 134,
    "integration/test_walkthroughs.py": 120,
    "integration/test_metrics_alerts.py": 116,
    "integration/test_bounties.py": 113,
    "faults/test_broker_and_worker.py": 110,
    "integration/test_up_stuck.py": 107,
    "security/test_rest_fuzz.py": 103,
    "integration/test_telemetry.py": 100,
    "integration/test_rooms.py": 95,
    "integration/test_sentinel.py": 92,
    "integration/test_openapi.py": 91,
    "integration/test_cli_web.py": 91,
    "faults/test_killed_parts.py": 85,
    "scenarios/test_event_emission_failure.py": 84,
    "faults/test_redis_outages.py": 84,
    "integration/test_cli_doctor.py": 84,
    "integration/test_postgres_reconnect.py": 80,
    "integration/test_coalescer.py": 79,
    "integration/test_fanout.py": 78,
    "integration/test_schemathesis.py": 76,
    "browser/": 70,
    "integration/test_cli_simulate.py": 67,
    "integration/test_limits_sockets.py": 65,
    "integration/test_up_sentinel.py": 63,
    "security/test_socket_fuzz.py": 61,
    "integration/test_sockets.py": 61,
    "integration/test_pool_against_model.py": 53,
    "integration/test_query_plans.py": 49,
    "security/": 46,
    "integration/test_revocation.py": 45,
    "integration/test_meter.py": 44,
    "integration/test_example_client.py": 44,
    "integration/test_payments.py": 41,
    "scenarios/": 35,
}


def _seconds(item: pytest.Item) -> int:
    path = item.nodeid.partition("::")[0].removeprefix("tests/")
    return max((seconds for start, seconds in LONG.items() if path.startswith(start)), default=0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=_seconds, reverse=True)
