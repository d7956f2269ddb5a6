"""Deliveries as endpoints meet them: signed, tried again on a schedule, each endpoint for itself."""

import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update
from standardwebhooks import Webhook as Verifier

from app.core.database import transaction, utc_now
from app.core.extensions import db, redis_client
from app.core.outbound_guard import Guard
from app.observability import metrics
from app.realtime.redis_keys import WEBHOOK_RUN_KEY
from app.webhooks import attempts, delivery, expansion, lease, settlement
from app.webhooks.attempts import Outcome, Result
from app.webhooks.models import Webhook as WebhookRow
from app.webhooks.models import WebhookDelivery
from app.webhooks.schedule import RETRY_DELAYS
from tests.core.test_tls import make_certificate
from tests.factories import deposit
from tests.support.api import Api
from tests.support.machine_speed import patience, slowdown
from tests.support.processes import until
from tests.support.webhook_receiver import OK, Answer, Receiver, drip, flood, hang, reset, status, webhook_receiver

DUE_LONG_AGO = timedelta(hours=1)


@dataclass
class Hooks:
    """A protocol, webhooks at endpoints of a receiver, and the delivery of what is stored."""

    app: Flask
    api: Api
    protocol_id: str
    receiver: Receiver

    def endpoint(self, name: str, *answers: Answer) -> dict[str, Any]:
        """A webhook at this endpoint, which answers so."""
        body = {"url": self.receiver.script(name, *answers or (OK,)) + "?token=hush", "eventTypes": ["*"]}
        return self.api.owner.post(f"/protocols/{self.protocol_id}/webhooks", body).expect(201)

    def deposit(self, amount: str = "1.00", **fields: Any) -> None:
        deposit(self.api, self.protocol_id, amount, **fields)

    def run(self, *, due: bool = False) -> int:
        """Run the Celery task's service; `due`: every pause is over."""
        with self.app.app_context():
            if due:
                with transaction() as session:
                    pending = update(WebhookDelivery).where(WebhookDelivery.status == "PENDING")
                    session.execute(pending.values(next_attempt_at=utc_now() - DUE_LONG_AGO))
                    session.execute(update(WebhookRow).values(next_allowed_at=None))
            return delivery.run()

    def change(self, statement: Any) -> None:
        with self.app.app_context(), transaction() as session:
            session.execute(statement)

    def read(self, query: Any) -> Any:
        with self.app.app_context():
            return db.session.scalar(query)

    def shown(self, webhook: dict[str, Any]) -> dict[str, Any]:
        return self.api.owner.get(f"/webhooks/{webhook['id']}").expect(200)

    def deliveries(self, webhook: dict[str, Any]) -> list[dict[str, Any]]:
        return self.api.owner.get(f"/webhooks/{webhook['id']}/deliveries").expect(200)["items"]

    def seconds_until_due(self, webhook: dict[str, Any]) -> float:
        mine = WebhookDelivery.webhook_id == webhook["id"]
        return float((self.read(select(WebhookDelivery.next_attempt_at).where(mine)) - utc_now()).total_seconds())


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32", "WEBHOOK_ALLOW_HTTP": "1"}


@pytest.fixture
def hooks(app: Flask, api: Api, protocol_id: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hooks]:
    monkeypatch.setattr(delivery, "IDLE_SECONDS", 0.3)
    with webhook_receiver() as receiver:
        yield Hooks(app, api, protocol_id, receiver)


def test_a_stored_event_is_posted_signed_with_the_webhooks_secret(hooks: Hooks, caplog) -> None:
    webhook = hooks.endpoint("a")
    hooks.deposit("1234.50", reference="Ünï")

    with caplog.at_level("INFO"):
        assert hooks.run() == 1

    (request,) = hooks.receiver.received
    payload = Verifier(webhook["secret"]).verify(request.body, request.headers)
    assert (payload["type"], payload["protocolId"]) == ("bounty_pool:updated", hooks.protocol_id)
    assert (payload["data"]["amount"], payload["data"]["reference"]) == ("1234.50", "Ünï")
    assert request.headers["content-type"] == "application/json"
    (made,) = hooks.deliveries(webhook)
    assert (made["id"], made["status"], made["attempts"]) == (request.id, "SUCCEEDED", "1")
    assert (made["responseCode"], made["nextAttemptAt"], made["history"][0]["error"]) == ("204", None, None)
    (line,) = [record for record in caplog.records if record.msg == "webhook.delivered"]
    assert line.origin == "/".join(webhook["url"].split("/")[:3])
    assert "hush" not in str(vars(line))
    assert webhook["secret"] not in str([vars(record) for record in caplog.records])
    assert hooks.run() == 0


def test_both_secrets_sign_after_a_rotation_and_only_the_new_one_after_a_day(hooks: Hooks) -> None:
    webhook = hooks.endpoint("a")
    new = hooks.api.owner.post(f"/webhooks/{webhook['id']}/rotate-secret").expect(200)["secret"]
    hooks.deposit("1.00")
    hooks.run()
    hooks.change(update(WebhookRow).values(previous_secret_expires_at=utc_now() - timedelta(seconds=1)))
    hooks.deposit("2.00")
    hooks.run()

    during, after = hooks.receiver.received
    for secret in (new, webhook["secret"]):
        Verifier(secret).verify(during.body, during.headers)
    Verifier(new).verify(after.body, after.headers)
    assert [len(each.headers["webhook-signature"].split()) for each in (during, after)] == [2, 1]


def test_a_failed_delivery_is_tried_again_with_the_same_id_and_body(hooks: Hooks) -> None:
    webhook = hooks.endpoint("a", status(500), status(404), OK)
    hooks.deposit("1.00")

    hooks.run()
    assert 0 < hooks.seconds_until_due(webhook) <= 6
    hooks.run(due=True)
    assert 40 < hooks.seconds_until_due(webhook) <= 70
    hooks.run(due=True)

    assert len({(each.id, each.body) for each in hooks.receiver.received}) == 1
    (made,) = hooks.deliveries(webhook)
    assert (made["status"], [each["error"] for each in made["history"]]) == (
        "SUCCEEDED",
        ["HTTP 500", "HTTP 404", None],
    )
    assert hooks.shown(webhook)["failingSince"] is None


def test_after_the_last_attempt_a_delivery_is_failed(hooks: Hooks) -> None:
    webhook = hooks.endpoint("a", status(503))
    hooks.deposit("1.00")
    hooks.run()
    hooks.change(update(WebhookDelivery).values(failures=len(RETRY_DELAYS)))

    hooks.run(due=True)

    (made,) = hooks.deliveries(webhook)
    assert (made["status"], made["error"], made["nextAttemptAt"]) == ("FAILED", "HTTP 503", None)
    assert made["finishedAt"]


@pytest.mark.parametrize(
    ("code", "asked", "shortest"),
    [(429, "600", 590), (503, "600", 590), (500, "600", 3), (429, "soon", 3), (503, "9" * 30, 3590)],
)
@pytest.mark.database("sqlite")
def test_retry_after_is_respected_up_to_an_hour(hooks: Hooks, code: int, asked: str, shortest: int) -> None:
    webhook = hooks.endpoint("a", status(code, f"Retry-After: {asked}"))
    hooks.deposit("1.00")

    hooks.run()

    assert shortest < hooks.seconds_until_due(webhook) <= max(shortest + 15, 6)
    assert (hooks.read(select(WebhookRow.next_allowed_at)) is not None) == (shortest > 3)


def attempt(url: str, guard: Guard) -> Result:
    """Attempt a delivery; one that hangs is cut off after a second, as a run does after ten."""
    row = SimpleNamespace(id="d", body="{}")
    started = attempts.Attempt(lease.Leased(row, url, ["whsec_AAAA"]), guard)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(started.run)
        if url.endswith(("hang", "drip")):
            with pytest.raises(TimeoutError):
                future.result(1.0)
            started.cut_off()
        return future.result(patience(10))


@pytest.mark.database("sqlite")
def test_whatever_an_endpoint_does_an_attempt_ends_and_its_error_is_shown(hooks: Hooks, tmp_path: Path) -> None:
    guard = Guard((ip_network("127.0.0.1/32"),), allow_http=True)
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    late, none = "no complete response within 10 s", None
    with webhook_receiver(context) as untrusted, webhook_receiver(host="127.0.0.3") as private:
        expected = {
            hooks.receiver.script("hang", hang): (Outcome.NO_RESPONSE, none, late),
            hooks.receiver.script("drip", drip): (Outcome.NO_RESPONSE, none, late),
            hooks.receiver.script("flood", flood): (Outcome.DELIVERED, 200, none),
            hooks.receiver.script("reset", reset): (Outcome.NO_RESPONSE, none, "no response (ConnectionResetError)"),
            hooks.receiver.script("gone", status(410)): (Outcome.GONE, 410, "HTTP 410"),
            hooks.receiver.script("hop", status(302, f"Location: {private.url}")): (
                Outcome.REFUSED, 302, "HTTP 302: redirects are not followed",
            ),
            untrusted.script("tls", OK): (Outcome.NO_RESPONSE, none, "no response (SSLCertVerificationError)"),
            private.script("inner", OK): (
                Outcome.FORBIDDEN, none, "The URL must not lead to a private, local or reserved address.",
            ),
            "http://127.0.0.1:1/": (Outcome.NO_RESPONSE, none, "no response (ConnectionRefusedError)"),
        }  # fmt: skip
        results = {url: attempt(url, guard) for url in expected}
        assert private.connections == 0

    assert {url: (each.outcome, each.response_code, each.error) for url, each in results.items()} == expected


def test_410_disables_the_webhook_and_enabling_it_sends_what_waits(hooks: Hooks) -> None:
    webhook = hooks.endpoint("a", status(410), OK)
    hooks.deposit("1.00")
    before = metrics.WEBHOOKS_DISABLED.labels("gone")._value.get()

    hooks.run()

    shown = hooks.shown(webhook)
    assert (shown["status"], shown["disabledReason"]) == ("DISABLED", "The endpoint answered 410 Gone.")
    entries = hooks.api.admin.get(f"/audit?protocolId={hooks.protocol_id}&action=WEBHOOK_DISABLED").expect(200)["items"]
    assert [entry["subject"] for entry in entries] == ["system"]
    assert metrics.WEBHOOKS_DISABLED.labels("gone")._value.get() == before + 1
    hooks.run(due=True)
    assert len(hooks.receiver.received) == 1
    hooks.change(update(WebhookDelivery).values(next_attempt_at=utc_now() + timedelta(days=1)))
    hooks.api.owner.post(f"/webhooks/{webhook['id']}/enable").expect(200)
    hooks.run()
    assert [made["status"] for made in hooks.deliveries(webhook)] == ["SUCCEEDED"]


def test_three_days_of_nothing_but_failures_disable_the_webhook(hooks: Hooks) -> None:
    webhook, other = hooks.endpoint("a", status(500)), hooks.endpoint("b", status(500), OK)
    hooks.deposit("1.00")
    hooks.run()

    def fail_again(days: float) -> tuple[str, str]:
        failing = update(WebhookRow).where(WebhookRow.failing_since.is_not(None))
        hooks.change(failing.values(failing_since=utc_now() - timedelta(days=days)))
        hooks.run(due=True)
        both = [hooks.shown(each) for each in (webhook, other)]
        assert both[1]["status"] == "ENABLED"
        return both[0]["status"], both[0]["disabledReason"]

    assert fail_again(2.99) == ("ENABLED", None)
    assert fail_again(3.01) == ("DISABLED", "Nothing but failures for 3 days. The last one: HTTP 500.")
    assert hooks.api.owner.post(f"/webhooks/{webhook['id']}/enable").expect(200)["failingSince"] is None
    hooks.run(due=True)
    assert hooks.shown(webhook)["status"] == "ENABLED"


def test_an_endpoint_that_fails_five_times_in_a_row_is_probed_and_then_gets_all_that_waits(hooks: Hooks) -> None:
    webhook = hooks.endpoint("a", *[status(500)] * 6, OK)
    for _ in range(12):
        hooks.deposit("1.00")

    hooks.run()

    assert 5 <= hooks.read(select(WebhookRow.consecutive_failures)) <= 6
    assert hooks.read(select(WebhookRow.next_allowed_at)) is not None
    assert len(hooks.receiver.received) <= 6
    hooks.run(due=True)
    hooks.run(due=True)
    assert {made["status"] for made in hooks.deliveries(webhook)} == {"SUCCEEDED"}


def test_an_attempt_is_repeated_only_after_its_lease(hooks: Hooks) -> None:
    webhook = hooks.endpoint("a")
    hooks.deposit("1.00")
    with hooks.app.app_context():
        expansion.expand()
        (first,) = lease.lease_due(lease.Slots())  # by a worker that dies now
        assert lease.lease_due(lease.Slots()) == []
    hooks.api.owner.post(f"/webhook-deliveries/{first.delivery.id}/redeliver").expect(202)
    assert hooks.run() == 0, "an attempt runs"
    past = utc_now() - timedelta(seconds=1)
    hooks.change(update(WebhookDelivery).values(lease_until=past, next_attempt_at=past))

    assert hooks.run() == 1
    with hooks.app.app_context():
        settlement.settle([(first, Result(Outcome.NO_RESPONSE, 1.0, error="too late"))])

    (made,) = hooks.deliveries(webhook)
    assert (made["status"], made["attempts"], len(made["history"])) == ("SUCCEEDED", "2", 1)


@pytest.mark.database("postgresql")
def test_an_endpoint_that_hangs_holds_up_no_other(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"good-{number}" for number in range(4)]
    hooks.endpoint("hangs", hang)
    hooks.endpoint("drips", drip)
    for name in names:
        hooks.endpoint(name)
    monkeypatch.setattr(delivery, "RUN_SECONDS", 4.0)
    monkeypatch.setattr(delivery, "ATTEMPT_SECONDS", 4.0)
    stored: list[float] = []

    def store() -> None:
        for _ in range(30):
            stored.append(time.time())
            hooks.deposit("1.00")
            time.sleep(0.05)

    writer = threading.Thread(target=store)
    writer.start()
    hooks.run()
    writer.join(patience(30))
    until(lambda: hooks.run() >= 0 and all(len(hooks.receiver.of(each)) >= 30 for each in names), 30, "all arrive")

    for name in ("hangs", "drips"):  # one at a time
        assert len(hooks.receiver.of(name)) <= 1 + len(stored) / 4
    for name in names:
        arrived = [each.at for each in hooks.receiver.of(name)]
        assert len(arrived) == len(set(hooks.receiver.ids()[name])) == 30
        late = sorted(at - began for at, began in zip(sorted(arrived), stored, strict=True))
        assert late[-1] < 2.0 * slowdown(), late


@pytest.mark.database("sqlite")
def test_failing_endpoints_leave_half_of_the_slots_to_the_others(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "MAX_RUNNING", 4)
    for number in range(4):
        hooks.endpoint(f"dead-{number}")
    hooks.change(update(WebhookRow).values(consecutive_failures=1))
    good = hooks.endpoint("good")
    hooks.deposit()

    with hooks.app.app_context():
        expansion.expand()
        slots = lease.Slots()
        first = [each.delivery.webhook_id for each in lease.lease_due(slots)]
        slots.give_back(good["id"], succeeded=True)
        hooks.deposit()
        expansion.expand()
        again = [each.delivery.webhook_id for each in lease.lease_due(slots)]

    assert (len(first), first.count(good["id"])) == (4, 1)
    assert again == [good["id"]]


def test_one_run_at_a_time(hooks: Hooks) -> None:
    hooks.endpoint("a")
    hooks.deposit("1.00")
    with hooks.app.app_context():
        redis_client().set(WEBHOOK_RUN_KEY, "", px=60_000)
    assert hooks.run() == 0
    with hooks.app.app_context():
        redis_client().delete(WEBHOOK_RUN_KEY)

    assert hooks.run() == 1


def test_a_secret_that_no_key_can_decrypt_disables_its_webhook_alone(hooks: Hooks) -> None:
    broken, good = hooks.endpoint("broken"), hooks.endpoint("good")
    hooks.change(update(WebhookRow).where(WebhookRow.id == broken["id"]).values(secret="0.AAAA"))
    hooks.deposit("1.00")

    hooks.run()

    assert [each.endpoint for each in hooks.receiver.received] == ["good"]
    assert hooks.shown(broken)["status"] == "DISABLED"
    assert hooks.shown(good)["status"] == "ENABLED"
