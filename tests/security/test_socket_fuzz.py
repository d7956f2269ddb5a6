"""Five thousand malformed socket messages and a thousand malformed HTTP beginnings against a real web process."""

import contextlib
import json
import os
import time

import pytest

from tests.factories import deposit, make_protocol
from tests.security.malformed import BEGINS, EVENTS, FRAMES, PACKETS
from tests.security.nasty import FIELDS, RAW_BODIES, Source
from tests.security.wire import BINARY, WebSocket, connect, frame, memory_kib, open_files
from tests.support.js_client import JsClient
from tests.support.processes import until
from tests.support.randomness import SEED
from tests.support.stack import Stack, StackMaker

MESSAGES = 5_000
BEGINNINGS = 1_000
PER_CONNECTION = 25
POOLED = 12  # connections to Redis and the database that the process opens when busy, and keeps


@pytest.fixture
def system(make_stack: StackMaker) -> Stack:
    return make_stack(DASHBOARD_HANDSHAKE_SECONDS="2")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_malformed_messages_hurt_nobody_and_leave_nothing_behind(system: Stack, js: JsClient) -> None:
    protocol_id, source = make_protocol(system.api), Source(SEED)
    neighbour, pid = system.watch(js, protocol_id), system.pid("web-1")
    attack(system, source, protocol_id, MESSAGES // 5)  # so that what is made once is made
    settle(system, files=None)
    files, memory = open_files(pid), memory_kib(pid)

    attack(system, source, protocol_id, MESSAGES)
    deposit(system.api, protocol_id, "5.00")
    settle(system, files)

    assert neighbour.wait_for_event("bounty_pool:updated").data["total"] == "5.00"
    assert not [event for event in neighbour.received if event.name == "$disconnect"]
    assert memory_kib(pid) <= memory * 1.1, (memory, memory_kib(pid))
    assert open_files(pid) <= files + POOLED
    assert system.pid("web-1") == pid
    assert "Traceback" not in system.log
    assert not system.log_lines("| ERROR")


def attack(system: Stack, source: Source, protocol_id: str, messages: int) -> None:
    """Send malformed messages in connections of their own, some of which never authenticate, and raw beginnings."""
    token = system.api.token("viewer", protocols=[protocol_id])
    for _ in range(messages // PER_CONNECTION):
        with contextlib.suppress(OSError), WebSocket(system.port, token if source.random() < 0.8 else None) as attacker:
            for _ in range(PER_CONNECTION):
                send_something(attacker, source, protocol_id)
                if not attacker.is_open:
                    break
    for _ in range(messages * BEGINNINGS // MESSAGES):
        with contextlib.suppress(OSError), connect(system.port) as sock:
            begin = source.choice(BEGINS) if source.random() < 0.8 else os.urandom(source.randrange(2000))
            sock.sendall(begin[: source.randrange(len(begin) + 1)] if source.random() < 0.2 else begin)
            sock.settimeout(0.02)
            sock.recv(100)


def send_something(attacker: WebSocket, source: Source, protocol_id: str) -> None:
    kind = source.random()
    if kind < 0.15:
        attacker.text(source.choice(PACKETS))
    elif kind < 0.18:
        attacker.raw(source.choice(FRAMES))
    elif kind < 0.25:
        attacker.raw(frame(b"42" + source.choice(RAW_BODIES)[:60_000]))
    elif kind < 0.4:
        attacker.text(f'42{source.randrange(99)}["protocol:join",{{"protocolId":"room-{source.randrange(10**6)}"}}]')
    elif kind < 0.45:
        attacker.text('451-["protocol:join",{"_placeholder":true,"num":0}]')
        attacker.raw(frame(os.urandom(source.randrange(50_000)), BINARY))
    else:
        known = {"protocolId": protocol_id, "token": "x"}
        fields = known | {source.choice(FIELDS): source.value()} if source.random() < 0.6 else source.value()
        number = source.choice(["", "0", "7", "123456"])
        attacker.text(f"42{number}" + json.dumps([source.choice(EVENTS), fields])[:60_000])


def settle(system: Stack, files: int | None) -> None:
    """Wait until the process has ended what the attackers left open."""
    time.sleep(5)  # the handshake's patience, and the watch's turn
    if files is not None:
        until(lambda: open_files(system.pid("web-1")) <= files + POOLED, 30, "file handles are back")
    assert system.api.with_token(None).get("//healthz").status == 200
