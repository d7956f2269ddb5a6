"""The checks of `dashboard doctor`. Each returns what it found, or raises CheckFailed with a remedy."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import click
import redis
from sqlalchemy import text

from app.background import create_background_app
from app.config import ConfigError
from app.core import database, migration, redis_connection
from app.core.dependency_errors import outage_of
from app.core.extensions import celery, db, redis_client
from app.core.migration import SchemaState
from app.observability import process_registry
from app.payments.reconciliation import mismatches, stuck_payments
from app.realtime.redis_keys import TICK_KEY

MAX_TICK_AGE_SECONDS = 15.0
MAX_CLOCK_DIFFERENCE_SECONDS = 2.0
MAX_LISTED = 5
REMEDIES = {"database": "start the database, or check DATABASE_URL", "redis": "start Redis, or check REDIS_URL"}


class CheckFailed(Exception):
    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


class Check(NamedTuple):
    """`server` is the check that must pass first: without an answer, each later check would wait for its time limit."""

    name: str
    server: str
    run: Callable[[], str]


def run_all() -> bool:
    """Run and report every check; return whether all passed."""
    logging.disable(logging.CRITICAL)  # each failure is reported once, here
    try:
        app = create_background_app()
    except ConfigError as error:
        _report("FAIL", "configuration", str(error), "set the variables named above; see docs/configuration.md")
        return False
    _report("ok", "configuration", "complete")
    passed: dict[str, bool] = {}
    with app.app_context():
        for check in CHECKS:
            passed[check.name] = run_check(check) if passed.get(check.server, True) else _skip(check)
    return all(passed.values())


def run_check(check: Check) -> bool:
    """Run and report one check; return whether it passed."""
    try:
        _report("ok", check.name, check.run())
    except CheckFailed as failure:
        _report("FAIL", check.name, str(failure), failure.remedy)
    except Exception as error:  # noqa: BLE001 - any error is a finding
        outage = outage_of(error)
        problem = f"{outage.example} " if outage else ""
        remedy = outage.remedy if outage else REMEDIES[check.server]
        _report("FAIL", check.name, f"{problem}{type(error).__name__}: {str(error).partition(chr(10))[0]}", remedy)
    else:
        return True
    return False


def _skip(check: Check) -> bool:
    _report("FAIL", check.name, f"not checked, because {check.server} does not answer", REMEDIES[check.server])
    return False


def _report(verdict: str, name: str, detail: str, remedy: str = "") -> None:
    click.echo(f"{verdict:<4} {name}: {detail}" + (f" → {remedy}" if remedy else ""))


def _check_database() -> str:
    with db.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return str(db.engine.dialect.name)


def _check_migrations() -> str:
    revision = migration.current_revision()
    state = migration.state_of(revision)
    if state is SchemaState.BEHIND:
        newest = migration.revisions()[1]
        raise CheckFailed(f"at {revision or 'nothing'}, newest is {newest}", "run `dashboard migrate`")
    if state is SchemaState.AHEAD:
        raise CheckFailed(migration.describe_newer_schema(revision), "run that release, or restore an older copy")
    if missing := migration.missing_columns():
        remedy = "the schema was changed by hand: add what is missing, or restore the database"
        raise CheckFailed(f"at {revision}, but without {', '.join(missing[:MAX_LISTED])}", remedy)
    return f"at {revision}"


def _check_database_writes() -> str:
    database.check_writable()
    return "accepts writes"


def _check_redis() -> str:
    information = redis_client().info("server")
    return f"answers, version {information.get('valkey_version') or information['redis_version']}"


def _check_redis_writes() -> str:
    redis_connection.check_writable(redis_client())
    return "accepts writes"


def _check_persistence() -> str:
    if _redis_setting("appendonly") == "no":
        raise CheckFailed("Redis loses its data at a restart (appendonly no)", "set `appendonly yes`")
    return "Redis writes its data to disk"


def _check_eviction() -> str:
    policy = _redis_setting("maxmemory-policy")
    if policy not in ("noeviction", ""):
        raise CheckFailed(f"a full Redis would evict tasks ({policy})", "set `maxmemory-policy noeviction`")
    return "a full Redis refuses writes and evicts nothing"


def _redis_setting(name: str) -> str:
    """Return the setting, or nothing where a hosted Redis does not allow CONFIG."""
    try:
        found: dict[Any, Any] = redis_client().config_get(name)
    except redis.ResponseError:
        return ""
    return {_decoded(key): _decoded(value) for key, value in found.items()}.get(name, "")


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _check_broker() -> str:
    with celery.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
    return "accepts tasks"


def _check_tick() -> str:
    tick = redis_client().get(TICK_KEY)
    if tick is None:
        raise CheckFailed("no task of beat was ever handled", "start `dashboard worker` and `dashboard beat`")
    age = abs(redis_connection.redis_time(redis_client()) - float(tick))  # Redis's clock may have stepped back
    found = f"beat's last task was handled {age:.1f} s ago"
    if age > MAX_TICK_AGE_SECONDS:
        raise CheckFailed(found, "look at the logs of `dashboard worker` and `dashboard beat`, and restart them")
    return found


def _check_process(role: str) -> str:
    known = process_registry.known()
    filling = [each for each in known if role in each.roles]
    if fault := process_registry.faults(known).get(role):
        hangs = any(each.is_silent for each in filling)
        command = "worker --queues payments" if role == "worker-payments" else role
        remedy = "the process or its machine hangs: restart it" if hangs else f"start `dashboard {command}`"
        raise CheckFailed(fault, remedy)
    return ", ".join(each.label for each in filling)


def _check_clocks() -> str:
    ahead = {each.label: each.clock_ahead for each in process_registry.known() if not each.is_silent}
    ahead["this host"] = time.time() - redis_connection.redis_time(redis_client())
    wrong = {name: seconds for name, seconds in ahead.items() if abs(seconds) > MAX_CLOCK_DIFFERENCE_SECONDS}
    if wrong:
        listed = "; ".join(f"{name} is {abs(s):.0f} s {'ahead' if s > 0 else 'behind'}" for name, s in wrong.items())
        raise CheckFailed(f"compared with Redis's clock, {listed}", "synchronise the hosts' clocks (NTP)")
    return f"within {MAX_CLOCK_DIFFERENCE_SECONDS:g} s of Redis's"


def _check_ledger() -> str:
    if found := mismatches():
        listed = "; ".join(f"{protocol}: {explanation}" for protocol, explanation in found[:MAX_LISTED])
        remedy = "stop payments and read docs/runbooks/DashboardLedgerMismatch.md"
        raise CheckFailed(f"{len(found)} mismatches: {listed}", remedy)
    return "every pool is the sum of its ledger, which has every reservation and payment"


def _check_payments() -> str:
    if found := stuck_payments(MAX_LISTED):
        listed = [f"{one.id} of {one.protocol_id} ({one.attempts} attempts): {one.failure_reason}" for one in found]
        remedy = "look at the payout service and worker-payments; docs/runbooks/DashboardPaymentsSlow.md"
        raise CheckFailed(f"not settled: {'; '.join(listed)}", remedy)
    return "none is stuck"


CHECKS = (
    Check("database", "database", _check_database),
    Check("migrations", "database", _check_migrations),
    Check("database writes", "database", _check_database_writes),
    Check("redis", "redis", _check_redis),
    Check("redis writes", "redis", _check_redis_writes),
    Check("redis persistence", "redis", _check_persistence),
    Check("redis eviction", "redis", _check_eviction),
    Check("broker", "redis", _check_broker),
    Check("tick", "redis", _check_tick),
    *(Check(role, "redis", partial(_check_process, role)) for role in process_registry.REQUIRED_ROLES),
    Check("clocks", "redis", _check_clocks),
    Check("ledger", "database", _check_ledger),
    Check("payments", "database", _check_payments),
)
