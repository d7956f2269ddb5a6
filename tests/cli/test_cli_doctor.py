"""`dashboard doctor` reports each check as ok, or as failed with the name of the faulty part and a remedy."""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app.config import load_config
from app.core.database import transaction, utc_now
from app.core.extensions import redis_client
from app.observability import process_registry
from app.realtime import emitter
from app.webhooks.models import WebhookDelivery
from tests.cli.commands import call_command, run_command, run_doctor, verdicts
from tests.factories import make_protocol
from tests.support import databases, servers
from tests.support.api import Api, InProcess
from tests.support.apps import make_app
from tests.support.identity_provider import IdentityProvider
from tests.support.old_redis import old_redis
from tests.support.stack import Stack


@pytest.fixture
def environment(sqlite_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """A migrated database and a Redis that persists nothing, with no worker."""
    key = "0123456789abcdef" * 4
    return databases.environment(home=tmp_path, database_url=sqlite_url, redis_url=redis_url, signing_key=key)


def call_doctor(environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return call_command("doctor", environment=environment)


def test_every_check_of_a_running_system_passes(stack: Stack):
    ended = run_doctor(stack.environment)
    assert set(verdicts(ended).values()) == {"ok"}, ended.stdout
    assert ended.returncode == 0
    assert {"database", "migrations", "redis", "broker", "beat", "worker", "ledger"} <= set(verdicts(ended))


def test_a_redis_that_does_not_answer_fails_its_checks_and_no_others(environment: dict[str, str], tmp_path: Path):
    server = servers.start_valkey(tmp_path)
    try:
        server.process.send_signal(signal.SIGSTOP)
        ended = call_doctor(environment | {"REDIS_URL": server.url()})
    finally:
        server.process.send_signal(signal.SIGCONT)
        servers.stop_server(server)
    assert ended.returncode == 1
    found = verdicts(ended)
    assert (found["redis"], found["broker"], found["database"], found["ledger"]) == ("FAIL", "FAIL", "ok", "ok")
    assert "check REDIS_URL" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_workers_that_were_never_started_are_reported(environment: dict[str, str]):
    ended = call_doctor(environment)
    assert ended.returncode == 1
    found = verdicts(ended)
    assert (found["beat"], found["worker"], found["redis"], found["migrations"]) == ("FAIL", "FAIL", "ok", "ok")
    assert "start `dashboard worker` and `dashboard beat`" in ended.stdout


def test_a_redis_without_persistence_is_reported(environment: dict[str, str]):
    assert verdicts(call_doctor(environment))["redis persistence"] == "FAIL"


def test_a_database_without_migrations_is_reported(environment: dict[str, str], tmp_path):
    ended = call_doctor(environment | {"DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}"})
    assert verdicts(ended)["migrations"] == "FAIL"
    assert "run `dashboard migrate`" in ended.stdout


def test_all_faults_of_the_configuration_are_reported_at_once(environment: dict[str, str]):
    ended = call_doctor(environment | {"DASHBOARD_SIGNING_KEY": "short", "PAYOUT_URL": "https://payout.example"})
    assert ended.returncode == 1
    assert verdicts(ended) == {"configuration": "FAIL"}
    assert "DASHBOARD_SIGNING_KEY" in ended.stdout
    assert "PAYOUT_SECRET" in ended.stdout


def test_a_database_of_a_newer_release_is_reported(environment: dict[str, str], sqlite_url: str) -> None:
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")

    ended = [call_doctor(environment), run_command("migrate", environment=environment)]

    assert [each.returncode for each in ended] == [1, 1]
    assert verdicts(ended[0])["migrations"] == "FAIL"
    for each in ended:
        assert "a newer release of Dashboard Realtime has migrated it" in each.stdout + each.stderr
        assert "Traceback" not in each.stdout + each.stderr


def test_a_missing_column_is_named(environment: dict[str, str], sqlite_url: str) -> None:
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as database:
        database.execute("ALTER TABLE protocols RENAME COLUMN name TO other")

    ended = call_doctor(environment)

    assert verdicts(ended)["migrations"] == "FAIL"
    assert "protocols.name" in ended.stdout


def test_a_redis_replica_is_reported_with_its_remedy(environment: dict[str, str], tmp_path: Path) -> None:
    server = servers.start_valkey(tmp_path)
    try:
        server.client().execute_command("REPLICAOF", "127.0.0.1", "1")
        ended = call_doctor(environment | {"REDIS_URL": server.url()})
    finally:
        servers.stop_server(server)

    assert verdicts(ended)["redis writes"] == "FAIL"
    assert "point REDIS_URL at the primary" in ended.stdout


def test_a_silent_worker_is_named_while_beat_ticks(environment: dict[str, str]) -> None:
    with make_app(load_config(environment)) as app, app.app_context():
        emitter.tick()
        process_registry.announce("worker", ("worker-payments",))
        (key,) = redis_client().hkeys(process_registry.PROCESSES_KEY)
        record = json.loads(redis_client().hget(process_registry.PROCESSES_KEY, key))
        record["sign"] -= process_registry.SILENT_SECONDS + 5
        redis_client().hset(process_registry.PROCESSES_KEY, key, json.dumps(record))

    found = verdicts(ended := call_doctor(environment))

    assert (found["tick"], found["worker-payments"]) == ("ok", "FAIL")
    assert "no sign of life of worker" in ended.stdout


def test_a_process_whose_clock_differs_from_redis_is_named(environment: dict[str, str]) -> None:
    with make_app(load_config(environment)) as app, app.app_context():
        process_registry.announce("worker", ("worker",))
        (key,) = redis_client().hkeys(process_registry.PROCESSES_KEY)
        record = json.loads(redis_client().hget(process_registry.PROCESSES_KEY, key)) | {"clock_ahead": 3600.0}
        redis_client().hset(process_registry.PROCESSES_KEY, key, json.dumps(record))

    ended = call_doctor(environment)

    assert verdicts(ended)["clocks"] == "FAIL"
    assert f"{record['name']} ({record['host']}) is 3600 s ahead" in ended.stdout


def test_a_webhook_with_overdue_deliveries_is_named(environment: dict[str, str]):
    settings = load_config(environment)
    with make_app(settings) as app:
        api = Api(InProcess(app), settings.signing_key)
        protocol_id = make_protocol(api)
        body = {"url": "https://hooks.example/", "eventTypes": ["*"]}
        webhook = api.owner.post(f"/protocols/{protocol_id}/webhooks", body).expect(201)
        api.owner.post(f"/webhooks/{webhook['id']}/test").expect(202)
        with app.app_context(), transaction() as session:
            session.execute(update(WebhookDelivery).values(next_attempt_at=utc_now() - timedelta(seconds=70)))

    ended = call_doctor(environment)

    assert verdicts(ended)["webhooks"] == "FAIL"
    assert f"1 of {webhook['id']} ({protocol_id}), the first for " in ended.stdout


def test_an_identity_provider_is_checked_and_a_token_is_explained(environment: dict[str, str], tmp_path: Path):
    file = tmp_path / "token"
    with IdentityProvider("keycloak") as provider:
        file.write_text(provider.token(["dashboard-owner", "dashboard-viewer"], ["P1"], sub="ada") + "\n")
        good = call_command("doctor", "--token", str(file), environment=environment | provider.settings)
        file.write_text(provider.token("owner"))
        bad = call_command("doctor", "--token", str(file), environment=environment | provider.settings)

    assert (
        "ok   identity provider: 1 keys; `aud` of its tokens must hold 'https://dashboard.example/api'" in good.stdout
    )
    assert "ok   token: ada is owner, for protocols P1" in good.stdout
    assert "FAIL token: The token's `realm_access.roles` holds none of the roles: dashboard-viewer" in bad.stdout


def test_an_identity_provider_or_mapping_that_cannot_work_is_reported(environment: dict[str, str]):
    with IdentityProvider("auth0") as provider:
        settings = environment | provider.settings
        nobody = call_command("doctor", environment=settings | {"DASHBOARD_TOKEN_ROLES": "boss=owner"})
        slash = call_command("doctor", environment=settings | {"DASHBOARD_TOKEN_ISSUER": provider.issuer.rstrip("/")})
    gone = call_command("doctor", environment=settings)

    assert "FAIL identity provider: no role of the provider is mapped to `admin`" in nobody.stdout
    assert f"the provider names itself {provider.issuer!r}" in slash.stdout
    assert f"FAIL identity provider: no key set at {settings['DASHBOARD_JWKS_URL']}" in gone.stdout
    assert {verdicts(each)["database"] for each in (nobody, slash, gone)} == {"ok"}


def test_a_redis_without_sharded_channels_is_refused_by_name_and_version(environment: dict[str, str]) -> None:
    named = "Redis 6.2.14 is too old: the rooms need Redis 7 or newer, or Valkey"
    with old_redis("6.2.14") as url:
        given = environment | {"ROOMS_REDIS_URL": url}
        ended = call_doctor(given)
        assert (verdicts(ended)["rooms redis"], verdicts(ended)["redis"]) == ("FAIL", "ok")
        assert f"FAIL rooms redis: {named}" in ended.stdout
        for command in (("web", "--port", "0"), ("worker",)):
            refused = run_command(*command, environment=given)
            assert (refused.returncode, named in refused.stderr) == (1, True), refused
