"""The checks of `dashboard doctor`. Each may return what it found, or raises CheckFailed with a remedy."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import click
import redis

from app.background import create_background_app
from app.cli.identity_checks import CheckFailed, check_provider, check_token
from app.config import ConfigError
from app.core import database, migration, redis_connection
from app.core.dependency_errors import outage_of
from app.core.extensions import celery, db, redis_client
from app.core.migration import SchemaState
from app.core.redis_connection import UnsuitableServerError
from app.core.redis_topology import SLOTS
from app.observability import process_registry
from app.payments.reconciliation import mismatches, stuck_payments
from app.realtime.emitter import rooms_redis
from app.realtime.redis_keys import PARTITION_SLOTS, TICK_KEY, partition_key
from app.webhooks.backlog import overdue_webhooks

MAX_TICK_AGE_SECONDS = 15.0
MAX_OVERDUE_SECONDS = 60.0
MAX_CLOCK_DIFFERENCE_SECONDS = 2.0
MAX_LISTED = 5
LEDGER_AGREES = "every pool is the sum of its ledger, which has every reservation and payment"
REMEDIES = {
    "database": "start the database, or check DATABASE_URL",
    "redis": "start Redis, or check REDIS_URL",
    "rooms redis": "start the Redis of the rooms, or check ROOMS_REDIS_URL",
    "identity provider": "check DASHBOARD_JWKS_URL",
}


class Check(NamedTuple):
    """`server` is the check that must pass first: without an answer, each later check would wait for its time limit."""

    name: str
    server: str
    run: Callable[[], object]
    passed: str = ""  # reported in place of what `run` returns


def run_all(token: str = "") -> bool:
    """Run and report every check, and that of a token if one is given; return whether all passed."""
    logging.disable(logging.CRITICAL)  # each failure is reported once, here
    try:
        app = create_background_app()
    except ConfigError as error:
        return _report_failure("configuration", str(error), "set the variables named above; see docs/configuration.md")
    click.echo("ok   configuration: complete")
    passed: dict[str, bool] = {}
    with app.app_context():
        for check in [*CHECKS, *([Check("token", "identity provider", partial(check_token, token))] if token else [])]:
            if passed.get(check.server, True):
                passed[check.name] = run_check(check)
            else:
                problem = f"not checked, because {check.server} does not answer"
                passed[check.name] = _report_failure(check.name, problem, REMEDIES[check.server])
    return all(passed.values())


def run_check(check: Check) -> bool:
    """Run and report one check; return whether it passed."""
    try:
        found = check.run()
    except CheckFailed as failure:
        return _report_failure(check.name, *failure.args)
    except Exception as error:  # noqa: BLE001 - any error is a finding
        outage = outage_of(error)
        problem = f"{outage.example} " if outage else ""
        remedy = outage.remedy if outage else REMEDIES[check.server]
        text = str(error).partition("\n")[0]
        return _report_failure(check.name, f"{problem}{type(error).__name__}: {text}", remedy)
    click.echo(f"ok   {check.name}: {check.passed or found}")
    return True


def _report_failure(name: str, problem: str, remedy: str) -> bool:
    click.echo(f"FAIL {name}: {problem} → {remedy}")
    return False


def _check_database() -> str:
    migration.current_revision()
    return db.engine.dialect.name


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


def _check_redis() -> str:
    information = redis_client().info("server")
    return f"answers, version {information.get('valkey_version') or information['redis_version']}"


def _check_rooms_redis() -> str:
    nodes = rooms_redis()
    try:
        versions = nodes.check_versions()
    except UnsuitableServerError as error:
        raise CheckFailed(str(error), "upgrade it, or let ROOMS_REDIS_URL name another one") from error
    owners = {node.name: node.slots for node in nodes.nodes()}
    if unowned := SLOTS - sum(owners.values()):
        raise CheckFailed(f"{unowned} of {SLOTS} slots have no owner", "bring back the primaries or their replicas")
    if not nodes.topology.is_cluster:
        return f"answers, version {next(iter(versions.values()))}"
    return "cluster of " + ", ".join(f"{name} ({version}, {owners[name]} slots)" for name, version in versions.items())


def _check_rooms_writes() -> None:
    nodes = rooms_redis()
    for node in nodes.nodes():
        slot = nodes.topology.owners(PARTITION_SLOTS).get(node.name, [])[:1]
        for partition in (PARTITION_SLOTS.index(each) for each in slot):
            nodes.call(PARTITION_SLOTS[partition], "SET", partition_key(partition, "ready"), b"", "EX", 60)


def _check_redis_setting(name: str, right: str, problem: str) -> None:
    """Of the control plane's server and those of the rooms."""
    nodes = rooms_redis()
    for client in (redis_client(), *(nodes.topology.client(node.name) for node in nodes.nodes())):
        try:
            value = client.config_get(name).get(name, "")
        except redis.ResponseError:  # a hosted Redis does not allow CONFIG
            continue
        text = value.decode() if isinstance(value, bytes) else value
        if text not in ("", right):
            raise CheckFailed(f"{problem} ({name} {text})", f"set `{name} {right}`")


def _check_broker() -> None:
    with celery.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)


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
        command = role.replace("worker-", "worker --queues ")
        remedy = "the process or its machine hangs: restart it" if filling else f"start `dashboard {command}`"
        raise CheckFailed(fault, remedy)
    return ", ".join(each.label for each in filling)


def _check_clocks() -> None:
    ahead = {each.label: each.clock_ahead for each in process_registry.known() if not each.is_silent}
    ahead["this host"] = time.time() - redis_connection.redis_time(redis_client())
    wrong = {name: seconds for name, seconds in ahead.items() if abs(seconds) > MAX_CLOCK_DIFFERENCE_SECONDS}
    if wrong:
        listed = "; ".join(f"{name} is {abs(s):.0f} s {'ahead' if s > 0 else 'behind'}" for name, s in wrong.items())
        raise CheckFailed(f"compared with Redis's clock, {listed}", "synchronise the hosts' clocks (NTP)")


def _check_ledger() -> None:
    if found := mismatches():
        listed = "; ".join(f"{protocol}: {explanation}" for protocol, explanation in found[:MAX_LISTED])
        remedy = "stop payments and read docs/runbooks/DashboardLedgerMismatch.md"
        raise CheckFailed(f"{len(found)} mismatches: {listed}", remedy)


def _check_payments() -> None:
    if found := stuck_payments(MAX_LISTED):
        listed = [f"{one.id} of {one.protocol_id} ({one.attempts} attempts): {one.failure_reason}" for one in found]
        remedy = "look at the payout service and worker-payments; docs/runbooks/DashboardPaymentsSlow.md"
        raise CheckFailed(f"not settled: {'; '.join(listed)}", remedy)


def _check_webhooks() -> str:
    found = overdue_webhooks(MAX_LISTED)
    if not found:
        return "no delivery is overdue"
    if found[0].seconds <= MAX_OVERDUE_SECONDS:
        return f"the most overdue delivery has waited {found[0].seconds:.1f} s"
    listed = [
        f"{one.count} of {one.webhook_id} ({one.protocol_id}), the first for {one.seconds:.0f} s" for one in found
    ]
    remedy = "look at worker-webhooks; docs/runbooks/DashboardWebhooksSlow.md"
    raise CheckFailed(f"deliveries are overdue: {'; '.join(listed)}", remedy)


_check_persistence = partial(_check_redis_setting, "appendonly", "yes", "Redis loses its data at a restart")
_check_eviction = partial(_check_redis_setting, "maxmemory-policy", "noeviction", "a full Redis would evict tasks")
CHECKS = (
    Check("identity provider", "identity provider", check_provider),
    Check("database", "database", _check_database),
    Check("migrations", "database", _check_migrations),
    Check("database writes", "database", database.check_writable, "accepts writes"),
    Check("redis", "redis", _check_redis),
    Check("redis writes", "redis", lambda: redis_connection.check_writable(redis_client()), "accepts writes"),
    Check("rooms redis", "rooms redis", _check_rooms_redis),
    Check("rooms redis writes", "rooms redis", _check_rooms_writes, "each server accepts writes"),
    Check("redis persistence", "rooms redis", _check_persistence, "Redis writes its data to disk"),
    Check("redis eviction", "rooms redis", _check_eviction, "a full Redis refuses writes and evicts nothing"),
    Check("broker", "redis", _check_broker, "accepts tasks"),
    Check("tick", "redis", _check_tick),
    *(Check(role, "redis", partial(_check_process, role)) for role in process_registry.REQUIRED_ROLES),
    Check("clocks", "redis", _check_clocks, f"within {MAX_CLOCK_DIFFERENCE_SECONDS:g} s of Redis's"),
    Check("ledger", "database", _check_ledger, LEDGER_AGREES),
    Check("payments", "database", _check_payments, "none is stuck"),
    Check("webhooks", "database", _check_webhooks),
)
