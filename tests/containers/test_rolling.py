"""A rolling restart under load loses no accepted change and causes no failed request."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from tests.containers import flows
from tests.containers.compose import Compose
from tests.factories import make_protocol
from tests.support.js_client import JsClient
from tests.support.processes import until

CALLERS = 3
PAUSE_SECONDS = 0.2
OURS = ("web", "sockets", "worker", "worker-payments", "worker-webhooks", "beat")


@dataclass
class Load:
    accepted: int = 0
    refused: list[str] = field(default_factory=list)


@contextmanager
def deposits(compose: Compose, protocol_id: str) -> Iterator[Load]:
    """Callers that each deposit 1.00 five times a second without retries."""
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


def test_replacing_all_containers_of_the_application_loses_nothing(compose: Compose, js: JsClient) -> None:
    """Meanwhile twice as many run, such as four webs and two beats; then the old ones stop by SIGTERM."""
    protocol_id = make_protocol(compose.api)
    browser = flows.watch(compose, js, protocol_id, reconnection=True)
    old = {service: set(compose.containers(service)) for service in OURS}

    with compose.changes() as seen, deposits(compose, protocol_id) as load:
        warnings = compose.run_script("deploy/compose/roll.sh", *OURS)
        until(lambda: browser.state["connected"], 30, "the browser is connected again")
        payment_id = flows.pay(compose.api, protocol_id, "1.00")
        ended = set().union(*old.values())
        until(lambda: ended <= {each.container for each in seen() if each.action == "die"}, 30, "the old ones ended")
        changes = seen()

    assert load.refused == []
    total = compose.api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)["total"]
    assert total == f"{load.accepted}.00"
    flows.until_released(compose.api, payment_id)
    browser.wait_for_event("vuln:status_changed", newStatus="PAID", timeout=30)
    for service in OURS:
        new = set(compose.containers(service))
        assert (len(new), new & old[service]) == (len(old[service]), set()), service
        healthy = {each.container: each.at for each in changes if each.action == "healthy"}
        ends = [each for each in changes if each.action == "die" and each.container in old[service]]
        assert {each.exit_code for each in ends} == {"0"}, f"{service} does not stop gracefully: {warnings}"
        assert max(healthy[each] for each in new) < min(each.at for each in ends), f"{service} stopped too early"
