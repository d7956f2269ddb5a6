"""Limits on connections per address and token, on the time to authenticate and on events; addresses behind proxies."""

import contextlib
import json
import time

import pytest

from tests.factories import make_protocol
from tests.security.raw_websocket import WebSocket
from tests.support.js_client import JsClient, RefusedError
from tests.support.processes import free_port, is_open, stop, until
from tests.support.stack import Stack, StackMaker

PATIENCE_SECONDS = 2


@pytest.fixture(scope="module")
def system(make_web: StackMaker) -> Stack:
    limits = {
        "DASHBOARD_HANDSHAKE_SECONDS": str(PATIENCE_SECONDS),
        "DASHBOARD_SOCKETS_PER_ADDRESS": "6",
        "DASHBOARD_SOCKETS_PER_TOKEN": "3",
        "DASHBOARD_TRUSTED_PROXIES": "1",
        "DASHBOARD_CLIENT_EVENTS_PER_SECOND": "10",
    }
    return make_web(**limits)


@pytest.fixture(scope="module")
def talkative(make_shared_stack: StackMaker) -> Stack:
    """A system that logs all it can, lets one other origin in and has a secret of its own."""
    return make_shared_stack(
        DASHBOARD_SOCKETS_PER_TOKEN="6",
        DASHBOARD_LOG_LEVEL="DEBUG",
        DASHBOARD_ALLOWED_ORIGINS="https://app.example",
        PAYOUT_URL="http://127.0.0.1:9",
        PAYOUT_SECRET="s3cr3t-of-payouts-0123456789",
    )


def fill(system: Stack, js: JsClient, token: str, **options) -> list:
    """Connect until the server refuses; the refusal's code is the last item."""
    opened: list = []
    with contextlib.suppress(RefusedError):
        while len(opened) < 10:
            opened.append(js.connect(system.url, {"token": token}, **options))
    return opened


def test_connections_per_token_are_limited_and_a_closed_one_makes_room(system: Stack, js: JsClient) -> None:
    token = system.api.token("viewer")
    opened = fill(system, js, token)
    assert len(opened) == 3

    with pytest.raises(RefusedError) as refused:
        js.connect(system.url, {"token": token})
    opened[0].disconnect()
    again = until(lambda: fill(system, js, token), 5, "there is room again")

    assert refused.value.message == "TOO_MANY_CONNECTIONS"
    for each in [*opened, *again]:
        each.disconnect()


def test_connections_per_address_are_limited_and_the_address_comes_from_the_proxy(system: Stack, js: JsClient) -> None:
    here = {"extraHeaders": {"X-Forwarded-For": "198.51.100.1"}}
    there = {"extraHeaders": {"X-Forwarded-For": "198.51.100.2"}}
    opened = [each for _ in range(3) for each in fill(system, js, system.api.token("viewer"), **here)]

    elsewhere = js.connect(system.url, {"token": system.api.token("viewer")}, **there)

    assert len(opened) == 6
    for each in [*opened, elsewhere]:
        each.disconnect()


@pytest.mark.slow
def test_connections_per_token_are_limited_across_processes_and_renewals(talkative: Stack, js: JsClient) -> None:
    port = free_port()
    process = talkative.run_part("web", "--port", str(port))
    until(lambda: is_open(port), 60, "another process listens")
    urls = (talkative.url, f"http://127.0.0.1:{port}")
    first, second = (talkative.api.token("viewer", sub="one") for _ in range(2))
    opened = [each for url in urls for each in js.connect_all(url, 3, {"token": first})]

    def is_full() -> bool:
        """Nobody gets in, whichever process is asked."""
        for url in urls:
            with contextlib.suppress(RefusedError):
                js.connect(url, {"token": first}).disconnect()
                return False
        return True

    def is_renewal_refused() -> bool:
        another = js.connect(urls[1], {"token": second})
        answer = another.emit("session:renew", {"token": first})
        another.disconnect()
        return not answer["ok"] and answer["error"]["code"] == "TOO_MANY_CONNECTIONS"

    until(is_full, 60, "each process knows of the other's connections")
    until(is_renewal_refused, 30, "nobody gets around it by renewing")
    for each in opened:
        each.disconnect()
    stop(process)


def test_a_connection_that_never_authenticates_is_closed_and_an_authenticated_one_stays(
    system: Stack, js: JsClient
) -> None:
    socket = js.connect(system.url, {"token": system.api.token("viewer")})
    with WebSocket(system.port) as silent, WebSocket(system.port) as refused:
        refused.text('40{"token":"wrong"}')
        refused.wait_for(b"UNAUTHORIZED")
        until(lambda: not silent.is_open, PATIENCE_SECONDS + 6, "the silent one is closed")
        until(lambda: not refused.is_open, PATIENCE_SECONDS + 6, "the refused one is closed")

    assert socket.emit("protocol:leave") == {"ok": True}
    socket.disconnect()


def test_events_beyond_the_limit_are_refused_and_a_flood_closes_the_connection(system: Stack) -> None:
    with WebSocket(system.port, system.api.token("viewer")) as eager:
        for number in range(50):
            eager.text(f'42{number}["protocol:leave"]')
        assert b"RATE_LIMITED" in eager.wait_for(b"RATE_LIMITED")
        with contextlib.suppress(OSError):
            for _ in range(8):
                for number in range(250):
                    eager.text(f'42{number}["protocol:leave"]')
        until(lambda: system.metric("dashboard_sessions_ended_total", reason="flood") >= 1, 10, "the flood is ended")


def test_a_client_cannot_act_for_another_session(system: Stack, js: JsClient) -> None:
    protocol_id = make_protocol(system.api)
    victim = system.watch(js, protocol_id)
    with WebSocket(system.port, system.api.token("viewer")) as attacker:
        for name in ("*", "unknown"):
            attacker.text("427" + json.dumps([name, victim.state["sid"], {}]))
            assert b"UNKNOWN_EVENT" in attacker.wait_for(b"UNKNOWN_EVENT")
        attacker.text('42["disconnect"]')
        until(lambda: not attacker.is_open, 5, "the attacker is ended")

    assert victim.emit("protocol:leave") == {"ok": True}


def test_a_second_connect_on_a_connection_creates_no_second_session(system: Stack) -> None:
    token = system.api.token("viewer")
    before = system.metric("dashboard_sockets")
    with WebSocket(system.port, token) as twice:
        for _ in range(20):
            twice.text("40" + json.dumps({"token": token}))
        twice.text('421["protocol:leave"]')
        twice.wait_for(b'431[{"ok":true}]')
        time.sleep(0.2)
        assert system.metric("dashboard_sockets") - before <= 1


def test_only_configured_other_origins_can_open_a_socket(system: Stack, talkative: Stack, js: JsClient) -> None:
    foreign = {"extraHeaders": {"Origin": "https://evil.example"}}
    friend = {"extraHeaders": {"Origin": "https://app.example"}}
    own = {"extraHeaders": {"Origin": system.url}}

    with pytest.raises((RefusedError, TypeError)):
        js.connect(system.url, {"token": system.api.token("viewer")}, **foreign)
    js.connect(system.url, {"token": system.api.token("viewer")}, **own).disconnect()
    js.connect(talkative.url, {"token": talkative.api.token("viewer")}, **friend).disconnect()


def test_input_of_an_unauthenticated_client_cannot_forge_a_log_line(talkative: Stack) -> None:
    path = "/socket.io/?EIO=4&transport=polling&sid=a%0aINFO%20FAKE%20line%1b[31m%00"
    assert talkative.api.transport.send("GET", path, None, {}).status == 400
    line = talkative.wait_for_log("engineio.refused.*FAKE")
    assert line.startswith("web-1")
    assert line.isprintable()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_the_own_page_can_connect_where_other_origins_are_configured(
    transport: str, talkative: Stack, js: JsClient
) -> None:
    own = {"extraHeaders": {"Origin": talkative.url}, "transports": [transport]}
    assert js.connect(talkative.url, {"token": talkative.api.token("viewer")}, **own).state["connected"]


def test_tokens_and_secrets_are_not_logged_even_at_debug(talkative: Stack, js: JsClient) -> None:
    stack = talkative
    protocol_id, token = make_protocol(stack.api), stack.api.token("viewer")
    js.connect(stack.url, {"token": token, "protocolId": protocol_id}).disconnect()
    for bad in (token + "x", token[:-3]):
        assert stack.api.with_token(bad).get("/protocols").status == 401
        with pytest.raises(RefusedError):
            js.connect(stack.url, {"token": bad})

    assert stack.signing_key not in stack.log
    assert "s3cr3t-" not in stack.log
    assert token.rpartition(".")[0] not in stack.log
