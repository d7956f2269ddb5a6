"""The payment worker is killed at every step: the pool is charged once and each event arrives once, in order."""

import os
import signal
from pathlib import Path

import pytest

from tests.factories import deposit, unique
from tests.support import databases
from tests.support.money import SECRET, PayoutService, Reply, confirmed, payout_service, pool, request_payment
from tests.support.processes import until
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

SETTINGS = {
    "PAYOUT_SECRET": SECRET,
    "PAYOUT_CONNECT_TIMEOUT": "0.5",
    "PAYOUT_READ_TIMEOUT": "0.5",
    "PAYOUT_RETRY_BASE": "0.2",
    "PAYOUT_RETRY_CAP": "1",
}
CONVERGES_SECONDS = 60
# The others run on both databases.
on_postgresql = pytest.mark.parametrize("system", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def service():
    with payout_service() as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(request, service, tmp_path_factory):
    """A running system for this file, on either database."""
    folder = tmp_path_factory.mktemp("payments")
    if request.param == "sqlite":
        with Stack(folder, PAYOUT_URL=service.url, **SETTINGS) as stack:
            yield stack
    else:
        server, template = (request.getfixturevalue(name) for name in ("postgres", "postgres_template"))
        with (
            databases.copy_postgres(server, template) as url,
            Stack(folder, PAYOUT_URL=service.url, DATABASE_URL=url, **SETTINGS) as stack,
        ):
            yield stack


@pytest.fixture
def ready(system, js):
    """A funded protocol with a confirmed vulnerability, and a client in its room."""
    protocol_id = system.api.admin.post("/protocols", {"id": unique("P"), "name": "P"}).expect(201)["id"]
    deposit(system.api, protocol_id, "1000.00")
    path = confirmed(system.api, protocol_id, "400.00")
    until(lambda: system.pid("worker-payments"), 10, "the worker runs")
    return protocol_id, path, system.watch(js, protocol_id)


def kill_worker(system: Stack) -> None:
    system.kill("worker-payments")


def kill_pool_processes(system: Stack) -> None:
    """Kill the pool's child processes; the worker survives and starts new ones."""
    worker = system.pid("worker-payments")
    for child in Path(f"/proc/{worker}/task/{worker}/children").read_text(encoding="utf-8").split():
        os.kill(int(child), signal.SIGKILL)


def check_charged_once(system: Stack, service: PayoutService, ready, payment_id: str) -> None:
    protocol_id, path, watcher = ready

    def released():
        return system.api.viewer.get(f"/payments/{payment_id}").json["status"] == "RELEASED"

    until(released, CONVERGES_SECONDS, "the payment is RELEASED")
    watcher.wait_for_event("vuln:status_changed", 20, newStatus="PAID", paymentId=payment_id)
    changes = [event.data.get("changeType") or event.data.get("newStatus") or event.name for event in watcher.events()]
    assert changes == ["PENDING", "PAYMENT_RELEASED", "RELEASED", "PAID"]
    assert pool(system.api, protocol_id) | {"version": ""} == {
        "protocolId": protocol_id, "currency": "USDC", "total": "1000.00", "available": "600.00",
        "reserved": "0.00", "paid": "400.00", "version": "",
    }  # fmt: skip
    entries = system.api.viewer.get(f"/protocols/{protocol_id}/pool/entries").expect(200)["items"]
    assert [entry["changeType"] for entry in entries] == ["PAYMENT_RELEASED", "RESERVATION", "DEPOSIT"]
    assert system.api.viewer.get(path).expect(200)["status"] == "PAID"
    assert payment_id in service.paid
    keys = [request.key for request in service.requests if request.json["protocolId"] == protocol_id]
    assert set(keys) == {payment_id}, "every call had the payment's own key"


def test_a_worker_killed_during_its_call_before_the_service_paid_charges_once(system, service, ready):
    service.replies = [Reply(500, before=lambda: kill_worker(system))]
    payment = request_payment(system.api, ready[1])
    check_charged_once(system, service, ready, payment["id"])


def test_a_worker_killed_during_its_call_after_the_service_paid_charges_once(system, service, ready):
    service.replies = [Reply(before=lambda: kill_pool_processes(system))]
    payment = request_payment(system.api, ready[1])
    check_charged_once(system, service, ready, payment["id"])


@on_postgresql
def test_a_worker_killed_after_the_response_of_the_service_charges_once(system, service, ready):
    service.replies = [Reply(after=lambda: kill_worker(system))]
    payment = request_payment(system.api, ready[1])
    check_charged_once(system, service, ready, payment["id"])


@on_postgresql
def test_a_worker_killed_right_after_its_commit_charges_once(system, service, ready):
    payment = request_payment(system.api, ready[1])
    caller = system.api.viewer
    until(
        lambda: caller.get(f"/payments/{payment['id']}").json["status"] == "RELEASED",
        CONVERGES_SECONDS,
        "the payment is RELEASED",
        pause=0.001,
    )
    kill_worker(system)
    check_charged_once(system, service, ready, payment["id"])


@on_postgresql
def test_a_worker_killed_before_it_takes_the_task_charges_once(system, service, ready):
    kill_worker(system)
    payment = request_payment(system.api, ready[1])
    check_charged_once(system, service, ready, payment["id"])


def test_a_worker_killed_repeatedly_charges_once(system, service, ready):
    service.replies = [Reply(before=lambda: kill_pool_processes(system)), Reply(before=lambda: kill_worker(system))]
    payment = request_payment(system.api, ready[1])
    check_charged_once(system, service, ready, payment["id"])
