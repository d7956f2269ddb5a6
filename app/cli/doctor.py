"""`dashboard doctor`: looks at every part of the running system and says what to do about what is wrong."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

OLDEST_TICK_SECONDS = 15.0
SHOWN_MISMATCHES = 5
ROLES = ("web", "worker", "worker-payments", "beat")
CLOCK_SECONDS = 2.0
SHOWN_PAYMENTS = 5


class CheckFailed(Exception):
    """What is wrong, and what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check configuration, database, Redis, workers and the ledger."""
    from app.config import ConfigError

    try:
        app = _quiet_app()
    except ConfigError as error:
        _tell("FAIL", "configuration", str(error), "set the variables named above; docs/configuration.md has them all")
        ctx.exit(1)
    _tell("ok", "configuration", "complete")
    with app.app_context():
        ctx.exit(0 if _examine_all() else 1)


def _quiet_app() -> Any:
    import logging

    from app.background import create_background_app

    logging.disable(logging.CRITICAL)  # what fails is told below, once
    return create_background_app()


def _examine_all() -> bool:
    """What rests on a part that does not answer is not asked: each question would wait for its time limit."""
    found: dict[str, bool] = {}
    for name, check in CHECKS.items():
        foundation = RESTS_ON.get(name, "")
        if found.get(foundation, True):
            found[name] = _examine(name, check)
        else:
            _tell("FAIL", name, f"not looked at, since {foundation} does not answer", REMEDIES[foundation])
            found[name] = False
    return all(found.values())


def _examine(name: str, check: Callable[[], str]) -> bool:
    try:
        _tell("ok", name, check())
    except CheckFailed as unwell:
        _tell("FAIL", name, str(unwell), unwell.remedy)
    except Exception as error:  # noqa: BLE001 - whatever a check meets is its finding
        from app.core.dependency_errors import outage_of

        outage = outage_of(error)
        problem = f"{outage.example} " if outage else ""
        remedy = outage.remedy if outage else REMEDIES[name]
        _tell("FAIL", name, f"{problem}{type(error).__name__}: {str(error).partition(chr(10))[0]}", remedy)
    else:
        return True
    return False


def _tell(verdict: str, name: str, detail: str, remedy: str = "") -> None:
    click.echo(f"{verdict:<4} {name}: {detail}" + (f" → {remedy}" if remedy else ""))


def _database() -> str:
    from sqlalchemy import text

    from app.core.extensions import db

    with db.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return str(db.engine.dialect.name)


def _migrations() -> str:
    from app.core import migration
    from app.core.migration import SchemaState

    revision = migration.current_revision()
    state = migration.state_of(revision)
    if state is SchemaState.BEHIND:
        raise CheckFailed(
            f"at {revision or 'nothing'}, newest is {migration.revisions()[1]}", "run `dashboard migrate`"
        )
    if state is SchemaState.AHEAD:
        raise CheckFailed(migration.describe_newer_schema(revision), "run that release, or restore an older copy")
    if missing := migration.missing_columns():
        remedy = "somebody changed the schema by hand: add what is missing, or restore the database"
        raise CheckFailed(f"at {revision}, but without {', '.join(missing[:SHOWN_MISMATCHES])}", remedy)
    return f"at {revision}"


def _database_writes() -> str:
    from app.core.database import check_writable

    check_writable()
    return "takes writes"


def _redis() -> str:
    from app.core.extensions import redis_client

    information = redis_client().info("server")
    return f"answers, version {information.get('valkey_version') or information['redis_version']}"


def _redis_writes() -> str:
    from app.core.extensions import redis_client
    from app.core.redis_connection import check_writable

    check_writable(redis_client())
    return "takes writes"


def _persistence() -> str:
    if _redis_setting("appendonly") == "no":
        raise CheckFailed("Redis keeps nothing over a restart (appendonly no)", "set `appendonly yes`")
    return "Redis writes what it holds to disk"


def _eviction() -> str:
    policy = _redis_setting("maxmemory-policy")
    if policy not in ("noeviction", ""):
        raise CheckFailed(f"a full Redis would throw tasks away ({policy})", "set `maxmemory-policy noeviction`")
    return "Redis refuses writes rather than losing tasks when it is full"


def _redis_setting(name: str) -> str:
    """Empty where a hosted Redis does not tell its settings."""
    import redis

    from app.core.extensions import redis_client

    try:
        found: dict[Any, Any] = redis_client().config_get(name)
    except redis.ResponseError:
        return ""
    texts = {_text(key): _text(value) for key, value in found.items()}
    return texts.get(name, "")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _broker() -> str:
    from app.core.extensions import celery

    with celery.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
    return "takes tasks"


def _tick() -> str:
    from app.core.extensions import redis_client
    from app.realtime.redis_keys import TICK_KEY

    sign = redis_client().get(TICK_KEY)
    if sign is None:
        raise CheckFailed("no task of beat was ever handled", "start `dashboard worker` and `dashboard beat`")
    seconds, micros = redis_client().time()
    age = abs(float(seconds + micros / 1e6) - float(sign))  # Redis's clock may have stepped back
    if age > OLDEST_TICK_SECONDS:
        remedy = "look at the logs of `dashboard worker` and `dashboard beat`, and restart them"
        raise CheckFailed(f"beat's last task was handled {age:.0f} s ago", remedy)
    return f"beat's last task was handled {age:.1f} s ago"


def _process(role: str) -> str:
    from app.observability import process_registry

    known = process_registry.known()
    fault = process_registry.faults(known).get(role)
    command = "dashboard worker --queues payments" if role == "worker-payments" else f"dashboard {role}"
    if fault:
        silent = any(each.is_silent for each in known if role in each.roles)
        todo = "it hangs, or its machine does: restart it" if silent else f"start `{command}`"
        raise CheckFailed(fault, todo)
    return ", ".join(each.label for each in known if role in each.roles)


def _clocks() -> str:
    import time

    from app.core.extensions import redis_client
    from app.core.redis_connection import redis_time
    from app.observability import process_registry

    ahead = {each.label: each.clock_ahead for each in process_registry.known() if not each.is_silent}
    ahead["this host"] = time.time() - redis_time(redis_client())
    wrong = {name: seconds for name, seconds in ahead.items() if abs(seconds) > CLOCK_SECONDS}
    if wrong:
        listed = "; ".join(f"{name} is {abs(s):.0f} s {'ahead' if s > 0 else 'behind'}" for name, s in wrong.items())
        raise CheckFailed(f"compared with Redis's clock, {listed}", "synchronise the hosts' clocks (NTP)")
    return f"within {CLOCK_SECONDS:g} s of Redis's"


def _ledger() -> str:
    from app.payments.reconciliation import mismatches

    found = mismatches()
    if found:
        text = "; ".join(f"{protocol}: {explanation}" for protocol, explanation in found[:SHOWN_MISMATCHES])
        remedy = "stop payments and read docs/runbooks/DashboardLedgerMismatch.md"
        raise CheckFailed(f"{len(found)} faults in the books: {text}", remedy)
    return "every pool is the sum of its ledger, every reservation and payment is in it"


def _payments() -> str:
    from app.payments.collectors import stuck_payments

    found = stuck_payments(SHOWN_PAYMENTS)
    if found:
        told = [f"{each.id} of {each.protocol_id} ({each.attempts} attempts): {each.failure_reason}" for each in found]
        remedy = "look at the payout service and worker-payments; docs/runbooks/DashboardPaymentsSlow.md"
        raise CheckFailed(f"not settled: {'; '.join(told)}", remedy)
    return "none waits for long"


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "database writes": _database_writes,
    "redis": _redis,
    "redis writes": _redis_writes,
    "redis persistence": _persistence,
    "redis eviction": _eviction,
    "broker": _broker,
    "tick": _tick,
    **{role: partial(_process, role) for role in ROLES},
    "clocks": _clocks,
    "ledger": _ledger,
    "payments": _payments,
}
_ON_REDIS = ("redis writes", "redis persistence", "redis eviction", "broker", "tick", *ROLES, "clocks")
RESTS_ON = {
    **dict.fromkeys(_ON_REDIS, "redis"),
    **dict.fromkeys(("migrations", "database writes", "ledger", "payments"), "database"),
}
_START_REDIS = "start Redis, or check REDIS_URL"
REMEDIES = {
    **dict.fromkeys(CHECKS, _START_REDIS),
    **dict.fromkeys(
        ("database", "migrations", "database writes", "ledger", "payments"),
        "start the database, or check DATABASE_URL",
    ),
}
