"""The order of the files in a parallel run: slow ones first, so that none of them is left to run alone at the end.

The files that use the running system of `stack` follow after all others. A worker starts it for the first of them and
stops it at its end, and an idle system takes 2 to 3 % of a core.
"""

import pytest

# Seconds on two busy cores; only their order matters. A file that is not listed counts as 0.
SECONDS = {
    "faults/test_failures.py": 210,
    "cli/test_up_hangs.py": 150,
    "cli/test_up_life.py": 130,
    "docs/test_walkthroughs.py": 100,
    "faults/test_killed_payment_worker.py": 95,
    "core/test_sentinel.py": 60,
    "browser/test_live_page.py": 78,
    "browser/test_finding_panel.py": 77,
    "realtime/test_backlogged_rooms.py": 76,
    "cluster/test_cluster_faults.py": 75,
    "agents/test_terminal_updates.py": 73,
    "docs/test_examples.py": 72,
    "browser/test_money.py": 70,
    "conformance/test_kills.py": 70,
    "browser/test_actions.py": 65,
    "clients/python/tests/test_package.py": 61,
    "cli/test_cli_simulate.py": 61,
    "simulation/test_first_quarter.py": 60,
    "simulation/test_second_quarter.py": 60,
    "simulation/test_third_quarter.py": 60,
    "simulation/test_fourth_quarter.py": 60,
    "conformance/test_packages.py": 60,
    "clients/test_js_package.py": 60,
    "cli/test_up_shell.py": 60,
    "browser/test_sessions.py": 55,
    "browser/test_operators.py": 45,
    "payments/test_payment_attempts.py": 50,
    "payments/test_payment_fairness.py": 50,
    "sockets/test_socket_limits.py": 50,
    "snapshot/test_state_stampede.py": 50,
    "streams/test_stream_limits.py": 50,
    "browser/test_layout.py": 48,
    "realtime/test_agent_batches.py": 45,
    "realtime/fanout/test_fanout_sockets.py": 44,
    "security/test_rest_fuzz.py": 43,
    "docs/test_example_agents.py": 42,
    "vulnerabilities/test_vulnerabilities.py": 41,
    "security/test_polling.py": 41,
    "browser/test_docs_page.py": 40,
    "release/test_release.py": 40,
    "realtime/test_retention.py": 35,
    "faults/test_redis_goes_back.py": 40,
    "observability/test_telemetry.py": 40,
    "realtime/test_clock_steps.py": 40,
    "core/test_library_commands.py": 40,
    "docs/test_example_client.py": 40,
    "clients/python/tests/test_system.py": 40,
    "security/test_socket_fuzz.py": 37,
    "realtime/test_isolation.py": 37,
    "faults/test_clocks_of_hosts.py": 37,
    "core/test_postgres_reconnect.py": 36,
    "browser/test_quality.py": 35,
    "observability/test_metrics_alerts.py": 35,
    "realtime/test_coalescer.py": 35,
    "core/test_retention.py": 35,
    "browser/test_barriers.py": 35,
    "http/test_gunicorn.py": 33,
    "http/test_idempotency.py": 33,
    "scenarios/test_event_buffer_overflow.py": 31,
    "security/test_slow_clients.py": 31,
    "payments/test_payments.py": 31,
    "cli/test_cli_web.py": 30,
    "payments/test_reconciliation.py": 30,
    "protocols/test_pool_against_model.py": 30,
    "protocols/test_bounties.py": 28,
    "realtime/test_room_fairness.py": 28,
    "snapshot/test_bounds_of_state.py": 28,
}


def _seconds(item: pytest.Item) -> int:
    path = item.nodeid.partition("::")[0].removeprefix("tests/")
    return max((seconds for prefix, seconds in SECONDS.items() if path.startswith(prefix)), default=0)


def _needs_stack(item: pytest.Item) -> bool:
    """Whether the test uses the session's running system (`served_api` does so unless the test has an app)."""
    names = set(item.fixturenames)  # type: ignore[attr-defined]
    is_served = "served_api" in names and not names & {"app", "api"}
    return ("stack" in names or is_served) and not hasattr(item.module, "stack")  # type: ignore[attr-defined]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        late = {item.path for item in items if _needs_stack(item)}
        items.sort(key=lambda item: (item.path in late, -_seconds(item)))
