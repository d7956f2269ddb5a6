"""Each alert fires on its fault, and none fires on a healthy system."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from flask import Flask
from sqlalchemy import update

from app.config import Config
from app.core.database import transaction, utc_now
from app.core.dependency_errors import as_outage
from app.core.extensions import celery, redis_client
from app.core.queues import PAYMENTS_QUEUE
from app.core.redis_connection import connect_redis
from app.factory import GAUGES
from app.http import csv_export
from app.observability import process_registry
from app.observability.collectors import StateCollector
from app.payments.models import Payment
from app.protocols.models import Pool
from app.realtime import emitter, outbox_positions
from app.realtime.events import EventType
from app.realtime.outbox import OutboxEvent
from app.realtime.redis_keys import TICK_KEY, channel_of, room_key
from app.webhooks import expansion
from app.webhooks.models import WebhookDelivery
from app.webhooks.rules import DisableCause
from app.webhooks.service import disable_for
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support import servers
from tests.support.api import Api
from tests.support.emissions import await_marks
from tests.support.js_client import JsClient, RefusedError
from tests.support.processes import until
from tests.support.promql import Scrapes, metric_names
from tests.support.stack import Stack, StackMaker

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES}
NOWHERE = "redis://127.0.0.1:1/0"


def scrape(api: Api) -> str:
    return api.with_token(None).get("//metrics").body.decode()


def fresh(app: Flask) -> None:
    """Have the next scrape read anew what is otherwise remembered for some seconds."""
    app.extensions["state_collector"] = StateCollector(GAUGES)


@pytest.fixture
def firing(app: Flask, api: Api, in_context: Flask) -> Callable[[str], bool]:
    """`firing(alert)`: whether the alert's condition holds for what happened since the test began."""
    before = scrape(api)

    def evaluate(alert: str) -> bool:
        fresh(app)
        return Scrapes(before, scrape(api)).fires(EXPRESSIONS[alert])

    return evaluate


def pay(api: Api, protocol_id: str) -> None:
    deposit(api, protocol_id, "10.00")
    vulnerability = file_vulnerability(api, protocol_id, bounty="4.00")
    api.validator.post(f"/vulnerabilities/{vulnerability['id']}/confirm", {}).expect(200)
    api.owner.post(f"/vulnerabilities/{vulnerability['id']}/payment", {"recipient": "0xabc"}).expect(202)


def store(model: Any, **values: Any) -> None:
    with transaction() as session:
        session.execute(update(model).values(values))


@pytest.mark.alone
def test_no_alert_fires_on_a_healthy_system(firing: Callable[[str], bool], api: Api, in_context: Flask) -> None:
    emitter.tick()
    pay(api, make_protocol(api))

    assert [alert for alert in EXPRESSIONS if firing(alert)] == []


def test_every_alert_names_a_metric_that_exists_and_a_runbook(api: Api, in_context: Flask) -> None:
    emitter.tick()
    shown = scrape(api)

    for rule in RULES:
        for name in metric_names(rule["expr"]):
            assert f"{name} " in shown or f"{name}{{" in shown or f"# TYPE {name.removesuffix('_bucket')} " in shown, (
                name
            )
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"
        assert (ROOT / rule["annotations"]["runbook"]).is_file(), rule["alert"]
    pages = {page.stem for page in (ROOT / "docs/runbooks").glob("Dashboard*.md")}
    assert pages == set(EXPRESSIONS)


def test_down_fires_when_no_process_answers() -> None:
    assert Scrapes("", "").fires(EXPRESSIONS["DashboardDown"])


@pytest.mark.database("sqlite")
def test_source_down_fires_when_redis_does_not_answer(app_with: Callable[..., Api]) -> None:
    shown = scrape(app_with(REDIS_URL=NOWHERE))

    assert Scrapes("", shown).value("min by (source) (dashboard_source_up) < 1") == [
        ({"source": "queues"}, 0.0),
        ({"source": "rooms"}, 0.0),
    ]


@pytest.mark.database("sqlite")
def test_beat_silent_fires_when_nothing_ticked_for_long(firing: Callable[[str], bool]) -> None:
    emitter.tick()
    assert not firing("DashboardBeatSilent")

    redis_client().set(TICK_KEY, time.time() - 20)

    assert firing("DashboardBeatSilent")


@pytest.mark.database("sqlite")
def test_process_silent_fires_when_a_process_hangs(firing: Callable[[str], bool]) -> None:
    process_registry.announce("worker", ("worker-payments",))
    assert not firing("DashboardProcessSilent")

    age(process_registry.SILENT_SECONDS + 1)

    assert firing("DashboardProcessSilent")


def age(seconds: float) -> None:
    """Make every process's last sign of life older."""
    for key, record in redis_client().hgetall(process_registry.PROCESSES_KEY).items():
        older = json.loads(record)
        older["sign"] -= seconds
        redis_client().hset(process_registry.PROCESSES_KEY, key, json.dumps(older))


@pytest.mark.database("sqlite")
def test_writes_refused_fires_when_redis_is_full(firing: Callable[[str], bool]) -> None:
    assert not firing("DashboardWritesRefused")

    as_outage(redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."))

    assert firing("DashboardWritesRefused")


@pytest.mark.database("sqlite")
def test_clocks_differ_fires_when_a_process_is_far_from_redis(firing: Callable[[str], bool]) -> None:
    process_registry.announce("worker", ("worker",))
    assert not firing("DashboardClocksDiffer")

    for key, record in redis_client().hgetall(process_registry.PROCESSES_KEY).items():
        redis_client().hset(
            process_registry.PROCESSES_KEY, key, json.dumps(json.loads(record) | {"clock_ahead": -3600.0})
        )

    assert firing("DashboardClocksDiffer")


def test_database_older_fires_when_a_room_is_ahead_of_the_database(firing: Callable[[str], bool], api: Api) -> None:
    protocol_id = make_protocol(api)
    assert outbox_positions.compare_positions() == 0

    redis_client().hset(room_key(protocol_id, "state"), "outbox", 5)
    assert outbox_positions.compare_positions() == 1

    assert firing("DashboardDatabaseOlder")


@pytest.mark.database("sqlite")
def test_rooms_overdue_fires_when_no_worker_drains(firing: Callable[[str], bool], api: Api) -> None:
    protocol_id = make_protocol(api)
    for _ in range(60):  # ten a second leave at once, also on a machine that is busy for seconds
        emitter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, "{}")

    until(lambda: firing("DashboardRoomsOverdue"), 15, "the room's turn is overdue", pause=0.5)


@pytest.mark.database("sqlite")
def test_events_dropped_fires_when_a_room_overflows(firing: Callable[[str], bool], api: Api) -> None:
    protocol_id = make_protocol(api)

    def overflows() -> bool:
        for _ in range(30):  # ten a second leave meanwhile
            emitter.emit(protocol_id, EventType.BOUNTY_POOL_UPDATED, "{}")
        return firing("DashboardEventsDropped")

    until(overflows, 60, "the loss is alarming", pause=0)


@pytest.mark.database("sqlite")
def test_emission_failing_fires_when_redis_accepts_no_event(app_with: Callable[..., Api]) -> None:
    api = app_with(REDIS_URL=NOWHERE)
    before = scrape(api)

    with api.transport.client.application.app_context():
        emitter.emit("P1", EventType.BOUNTY_POOL_UPDATED, "{}")

    assert Scrapes(before, scrape(api)).fires(EXPRESSIONS["DashboardEmissionFailing"])


def test_outbox_stuck_fires_when_a_stored_event_is_not_published(firing: Callable[[str], bool], api: Api) -> None:
    deposit(api, make_protocol(api), "5.00")
    await_marks()

    store(OutboxEvent, published_at=None, created_at=utc_now() - timedelta(seconds=61))

    assert firing("DashboardOutboxStuck")


def test_payment_failed_fires_while_a_payment_is_failed(firing: Callable[[str], bool], api: Api) -> None:
    pay(api, make_protocol(api))
    assert not firing("DashboardPaymentFailed")

    store(Payment, status="FAILED", failure_reason="refused")

    assert firing("DashboardPaymentFailed")


def test_payment_not_recorded_fires_until_the_payout_is_recorded(firing: Callable[[str], bool], api: Api) -> None:
    pay(api, make_protocol(api))
    store(Payment, failure_reason="HTTP 503")
    assert not firing("DashboardPaymentNotRecorded")

    store(Payment, failure_reason="paid, but not recorded (DataError)")

    assert firing("DashboardPaymentNotRecorded")
    store(Payment, status="RELEASED")
    assert not firing("DashboardPaymentNotRecorded")


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_payments_slow_fires_when_one_waits_for_long(firing: Callable[[str], bool], api: Api, status: str) -> None:
    pay(api, make_protocol(api))

    store(Payment, status=status, created_at=utc_now() - timedelta(seconds=301))

    assert firing("DashboardPaymentsSlow")


def test_ledger_mismatch_fires_when_a_pool_was_changed_by_hand(firing: Callable[[str], bool], api: Api) -> None:
    deposit(api, make_protocol(api), "5.00")
    assert not firing("DashboardLedgerMismatch")

    store(Pool, total_minor=Pool.total_minor + 1)

    assert firing("DashboardLedgerMismatch")


@pytest.fixture
def webhook_id(api: Api) -> str:
    protocol_id = make_protocol(api)
    body = {"url": "https://hooks.example/", "eventTypes": ["*"]}
    created = api.owner.post(f"/protocols/{protocol_id}/webhooks", body).expect(201)
    deposit(api, protocol_id, "1.00")
    return str(created["id"])


@pytest.mark.database("sqlite")
def test_webhooks_slow_fires_when_events_or_deliveries_wait(firing: Callable[[str], bool], webhook_id: str) -> None:
    assert not firing("DashboardWebhooksSlow")
    store(OutboxEvent, created_at=utc_now() - timedelta(seconds=65))
    assert firing("DashboardWebhooksSlow")

    expansion.expand()
    assert not firing("DashboardWebhooksSlow")
    store(WebhookDelivery, next_attempt_at=utc_now() - timedelta(seconds=65))

    assert firing("DashboardWebhooksSlow")


@pytest.mark.database("sqlite")
def test_webhook_disabled_fires_unless_the_owner_did_it(
    firing: Callable[[str], bool], api: Api, webhook_id: str
) -> None:
    api.owner.post(f"/webhooks/{webhook_id}/disable").expect(200)
    assert not firing("DashboardWebhookDisabled")
    api.owner.post(f"/webhooks/{webhook_id}/enable").expect(200)

    disable_for(webhook_id, DisableCause.GONE, "The endpoint answered 410.")

    assert firing("DashboardWebhookDisabled")


@pytest.mark.database("sqlite")
def test_queue_growing_fires_when_no_worker_takes_tasks(firing: Callable[[str], bool]) -> None:
    for _ in range(101):
        celery.send_task("tasks.payments.sweep", queue=PAYMENTS_QUEUE)

    assert firing("DashboardQueueGrowing")


@pytest.mark.database("sqlite")
def test_server_errors_fires_when_responses_are_server_errors(app_with: Callable[..., Api]) -> None:
    api = app_with(REDIS_URL=NOWHERE)
    before = scrape(api)

    api.with_token(None).get("//readyz")

    assert Scrapes(before, scrape(api)).fires(EXPRESSIONS["DashboardServerErrors"])


def test_slow_answers_fires_when_a_request_waits_for_the_database(
    firing: Callable[[str], bool], app: Flask, api: Api
) -> None:
    protocol_id = make_protocol(api)
    held = threading.Event()

    def hold() -> None:
        with app.app_context(), transaction() as session:
            session.execute(update(Pool).where(Pool.protocol_id == protocol_id).values(version=Pool.version))
            held.set()
            time.sleep(2.5)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(5)
    deposit(api, protocol_id, "5.00")
    holder.join()

    assert firing("DashboardSlowAnswers")


@pytest.mark.database("sqlite")
def test_progress_late_fires_when_drains_are_late(firing: Callable[[str], bool], api: Api) -> None:
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    for progress in (1, 2):
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, progress=progress)).expect(202)
    time.sleep(2.2)

    emitter.tick()

    assert firing("DashboardProgressLate")


@pytest.mark.database("sqlite")
def test_redis_full_fires_near_the_memory_limit(tmp_path: Path, app_with: Callable[..., Api]) -> None:
    server = servers.start_valkey(tmp_path)
    try:
        with server.client() as client:
            client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.1))
        shown = scrape(app_with(REDIS_URL=server.url()))
    finally:
        servers.stop_server(server)

    assert Scrapes("", shown).fires(EXPRESSIONS["DashboardRedisFull"])


@pytest.mark.database("sqlite")
def test_redis_full_does_not_fire_without_a_memory_limit(firing: Callable[[str], bool], settings: Config) -> None:
    assert int(connect_redis(settings.redis_url).config_get("maxmemory")["maxmemory"]) == 0

    assert not firing("DashboardRedisFull")


def scrapes_until(stack: Stack, before: str, alert: str) -> None:
    def fires() -> bool:
        return Scrapes(before, scrape(stack.api)).fires(EXPRESSIONS[alert])

    until(fires, 15, f"{alert} fires", pause=0.2)


def test_fanout_failing_fires_when_a_message_is_malformed(stack: Stack, js: JsClient, protocol_id: str) -> None:
    before = scrape(stack.api)
    stack.watch(js, protocol_id)

    stack.redis().execute_command("SPUBLISH", channel_of(protocol_id), "no message of ours")

    scrapes_until(stack, before, "DashboardFanoutFailing")


def test_subscriber_lost_fires_when_the_connection_is_lost_repeatedly(make_web: StackMaker, js: JsClient) -> None:
    stack = make_web()
    protocol_id = make_protocol(stack.api)
    stack.watch(js, protocol_id)  # a process listens from its first connection on
    before = scrape(stack.api)

    def losses() -> float:
        return stack.metric("dashboard_subscriber_losses_total")

    redis = stack.redis()
    for _ in range(3):
        until(lambda: redis.pubsub_shardnumsub(channel_of(protocol_id))[0][1], 20, "the process listens")
        known = losses()
        redis.client_kill_filter(_type="pubsub")
        until(lambda n=known: losses() > n, 20, "the loss is counted")

    scrapes_until(stack, before, "DashboardSubscriberLost")


@pytest.mark.database("sqlite")
def test_export_failing_fires_when_an_export_is_cut(
    firing: Callable[[str], bool], api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol_id = make_protocol(api)
    for _ in range(2):
        deposit(api, protocol_id, "1.00")
    assert not firing("DashboardExportFailing")

    monkeypatch.setattr(csv_export, "PAGE_ROWS", 1)
    monkeypatch.setattr(csv_export._cursor, "deserialize", lambda _text: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        api.viewer.get(f"/protocols/{protocol_id}/pool/entries", Accept="text/csv")

    assert firing("DashboardExportFailing")


def test_sockets_refused_fires_when_a_process_is_full(make_web: StackMaker, js: JsClient) -> None:
    stack = make_web(DASHBOARD_SOCKETS_PER_PROCESS="1")
    protocol_id = make_protocol(stack.api)
    before = scrape(stack.api)
    stack.watch(js, protocol_id)

    with pytest.raises(RefusedError):
        stack.watch(js, protocol_id)

    scrapes_until(stack, before, "DashboardSocketsRefused")
