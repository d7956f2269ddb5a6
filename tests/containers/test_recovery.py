"""A killed container is back within 15 seconds, and accepted changes are kept."""

import time

import pytest

from tests.containers import flows
from tests.containers.compose import Compose
from tests.factories import deposit, make_protocol
from tests.support.js_client import JsClient
from tests.support.processes import until

BACK_SECONDS = 15
PARTS = ("proxy", "web", "sockets", "worker", "worker-payments", "worker-webhooks", "beat", "postgres", "valkey")


@pytest.mark.parametrize("service", PARTS)
def test_a_killed_container_is_back_within_fifteen_seconds(compose: Compose, js: JsClient, service: str) -> None:
    protocol_id = make_protocol(compose.api)
    deposit(compose.api, protocol_id, "12.50")
    container = compose.containers(service)[0]
    restarts, killed_at = compose.restarts(container), time.monotonic()

    compose.kill(container)

    until(lambda: compose.restarts(container) > restarts, BACK_SECONDS, f"{service} is started again", pause=0.2)
    compose.until_it_works(container, BACK_SECONDS - (time.monotonic() - killed_at))
    assert compose.api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)["total"] == "12.50"
    until(lambda: flows.works(compose, js), BACK_SECONDS, "reports and payments reach the room again")


def test_another_up_starts_only_what_has_stopped_and_a_waiting_payment_is_made(compose: Compose) -> None:
    api, protocol_id = compose.api, make_protocol(compose.api)
    deposit(api, protocol_id, "10.00")
    before = {service: compose.containers(service) for service in PARTS}
    compose.docker("stop", *before["worker-payments"])
    payment_id = flows.pay(api, protocol_id, "4.00")

    compose.up()

    flows.until_released(api, payment_id, seconds=30)
    assert {service: compose.containers(service) for service in PARTS} == before
