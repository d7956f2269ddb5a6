"""`dashboard doctor`: looks at every part of the running system and says what to do about what is wrong."""

from collections.abc import Callable
from typing import Any

import click

OLDEST_SIGN_SECONDS = 15.0
SHOWN_MISMATCHES = 5
SHOWN_PAYMENTS = 5


class Unwell(Exception):
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

    from app import create_app

    logging.disable(logging.CRITICAL)  # what fails is told below, once
    return create_app(serve_rest=False)


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
    except Unwell as unwell:
        _tell("FAIL", name, str(unwell), unwell.remedy)
    except Exception as error:  # noqa: BLE001 - whatever a check meets is its finding
        _tell("FAIL", name, f"{type(error).__name__}: {error}", REMEDIES[name])
    else:
        return True
    return False


def _tell(verdict: str, name: str, detail: str, remedy: str = "") -> None:
    click.echo(f"{verdict:<4} {name}: {detail}" + (f" → {remedy}" if remedy else ""))


def _database() -> str:
    from app.database import ping
    from app.extensions import db

    ping()
    return str(db.engine.dialect.name)


def _migrations() -> str:
    from alembic.migration import MigrationContext

    from app.extensions import db
    from app.migration import newest

    with db.engine.connect() as connection:
        present = set(MigrationContext.configure(connection).get_current_heads())
    if present != newest():
        raise Unwell(
            f"at {', '.join(present) or 'nothing'}, newest is {', '.join(newest())}", "run `dashboard migrate`"
        )
    return f"at {', '.join(present)}"


def _redis() -> str:
    from app.extensions import redis_client

    information = redis_client().info("server")
    return f"answers, version {information.get('valkey_version') or information['redis_version']}"


def _persistence() -> str:
    if _redis_setting("appendonly") == "no":
        raise Unwell("Redis keeps nothing over a restart (appendonly no)", "set `appendonly yes`")
    return "Redis writes what it holds to disk"


def _eviction() -> str:
    policy = _redis_setting("maxmemory-policy")
    if policy not in ("noeviction", ""):
        raise Unwell(f"a full Redis would throw tasks away ({policy})", "set `maxmemory-policy noeviction`")
    return "Redis refuses writes rather than losing tasks when it is full"


def _redis_setting(name: str) -> str:
    """Empty where a hosted Redis does not tell its settings."""
    import redis

    from app.extensions import redis_client

    try:
        found: dict[Any, Any] = redis_client().config_get(name)
    except redis.ResponseError:
        return ""
    texts = {_text(key): _text(value) for key, value in found.items()}
    return texts.get(name, "")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _broker() -> str:
    from app.extensions import celery

    with celery.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
    return "takes tasks"


def _beat() -> str:
    from app.realtime.rooms import TICK_KEY

    return f"last tick {_age_of_sign(TICK_KEY):.1f} s ago"


def _worker() -> str:
    from app.realtime.rooms import HEARTBEAT_KEY

    return f"last heartbeat {_age_of_sign(HEARTBEAT_KEY):.1f} s ago"


def _age_of_sign(key: str) -> float:
    from app.extensions import redis_client

    sign = redis_client().get(key)
    if sign is None:
        raise Unwell("has never given a sign of life", "start `dashboard worker` and `dashboard beat`")
    seconds, micros = redis_client().time()
    age = float(seconds + micros / 1e6) - float(sign)
    if age > OLDEST_SIGN_SECONDS:
        remedy = "look at the logs of `dashboard worker` and `dashboard beat`, and restart them"
        raise Unwell(f"last sign of life {age:.0f} s ago", remedy)
    return max(age, 0.0)


def _ledger() -> str:
    from app.payments.audit import mismatches

    found = mismatches()
    if found:
        text = "; ".join(f"{protocol}: {explanation}" for protocol, explanation in found[:SHOWN_MISMATCHES])
        remedy = "stop payments and read docs/runbooks/DashboardLedgerMismatch.md"
        raise Unwell(f"{len(found)} faults in the books: {text}", remedy)
    return "every pool is the sum of its ledger, every reservation and payment is in it"


def _payments() -> str:
    from app.payments.gauges import stuck_payments

    found = stuck_payments(SHOWN_PAYMENTS)
    if found:
        told = [f"{each.id} of {each.protocol_id} ({each.attempts} attempts): {each.failure_reason}" for each in found]
        remedy = "look at the payout service and worker-payments; docs/runbooks/DashboardPaymentsSlow.md"
        raise Unwell(f"not settled: {'; '.join(told)}", remedy)
    return "none waits for long"


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "redis": _redis,
    "redis persistence": _persistence,
    "redis eviction": _eviction,
    "broker": _broker,
    "beat": _beat,
    "worker": _worker,
    "ledger": _ledger,
    "payments": _payments,
}
RESTS_ON = {
    **dict.fromkeys(("redis persistence", "redis eviction", "broker", "beat", "worker"), "redis"),
    **dict.fromkeys(("migrations", "ledger", "payments"), "database"),
}
_START_REDIS = "start Redis, or check REDIS_URL"
REMEDIES = {
    **dict.fromkeys(CHECKS, _START_REDIS),
    **dict.fromkeys(("database", "migrations", "ledger", "payments"), "start the database, or check DATABASE_URL"),
}
