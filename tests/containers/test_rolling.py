"""A rolling restart under load loses no accepted change and causes no failed request."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import requests

from tests.containers import flows
from tests.containers.compose import Compose
from tests.factories import make_protocol
from tests.support.js_client import JsClient

CALLERS = 3
PAUSE_SECONDS = 0.1


@dataclass
class Load:
    accepted: int = 0
    refused: list[str] = field(default_factory=list)


@contextmanager
def deposits(compose: Compose, protocol_id: str) -> Iterator[Load]:
    """Callers that each deposit 1.00 ten times a second without retries."""
    load, stop, lock = Load(), threading.Event(), threading.Lock()

    def call() -> None:
        owner = compose.api.owner
        while not stop.wait(PAUSE_SECONDS):
            key = uuid.uuid4().hex
            try:
                answer = owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1.00"}, Idempotency_Key=key)
                fault = "" if answer.status == 201 else f"{answer.status} {answer.body[:200]!r}"
            except (requests.RequestException, AssertionError) as error:
                fault = str(error)
            with lock:
                load.accepted += not fault
                load.refused += [fault] if fault else []

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("service", ["web", "sockets", "worker", "worker-payments", "worker-webhooks"])
def test_replacing_every_container_of_a_service_loses_nothing(compose: Compose, js: JsClient, service: str) -> None:
    protocol_id = make_protocol(compose.api)
    browser = flows.watch(compose, js, protocol_id, reconnection=True)
    old = set(compose.containers(service))

    with deposits(compose, protocol_id) as load:
        payment_id = ""
        compose.run_script("deploy/compose/roll.sh", service)
        payment_id = flows.pay(compose.api, protocol_id, "1.00")
        time.sleep(1)

    assert load.refused == []
    assert not old & set(compose.containers(service))
    total = compose.api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)["total"]
    assert total == f"{load.accepted}.00"
    flows.until_released(compose.api, payment_id)
    browser.wait_for_event("vuln:status_changed", newStatus="PAID", timeout=30)
