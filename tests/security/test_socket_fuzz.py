"""Five thousand malformed socket messages and a thousand malformed HTTP heads against a real web process."""

import contextlib
import json
import os
import re

import pytest

from tests.factories import deposit, make_protocol
from tests.security.fuzz_values import FIELDS, RAW_BODIES, Generator
from tests.security.malformed_messages import EVENTS, FRAMES, PACKETS, REQUEST_HEADS
from tests.security.raw_websocket import BINARY, WebSocket, connect, frame, memory_kib, open_files
from tests.support.js_client import JsClient
from tests.support.processes import until
from tests.support.seeds import SEED
from tests.support.stack import Stack, StackMaker

MESSAGES = 5_000
HEADS = 1_000
PER_CONNECTION = 25
POOLED = 12  # connections to Redis and the database that the process opens under load and keeps


@pytest.fixture
def system(make_web: StackMaker) -> Stack:
    return make_web(DASHBOARD_HANDSHAKE_SECONDS="2")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_malformed_messages_do_not_affect_other_clients_and_leak_nothing(system: Stack, js: JsClient) -> None:
    protocol_id, fuzz = make_protocol(system.api), Generator(SEED)
    bystander, pid = system.watch(js, protocol_id), system.pid("web-1")
    attack(system, fuzz, protocol_id, MESSAGES // 5)  # warms up what is allocated once
    files, memory = settled_files(system), memory_kib(pid)

    attack(system, fuzz, protocol_id, MESSAGES)
    deposit(system.api, protocol_id, "5.00")
    settle(system, files)

    assert bystander.wait_for_event("bounty_pool:updated").data["total"] == "5.00"
    assert not [event for event in bystander.received if event.name == "$disconnect"]
    assert memory_kib(pid) <= memory * 1.1, (memory, memory_kib(pid))
    assert open_files(pid) <= files + POOLED
    assert system.pid("web-1") == pid
    assert "Traceback" not in system.log
    assert not re.search("^ERROR", system.log, re.MULTILINE)


def attack(system: Stack, fuzz: Generator, protocol_id: str, messages: int) -> None:
    """Send malformed messages in connections of their own, some unauthenticated, and raw headnings."""
    token = system.api.token("viewer", protocols=[protocol_id])
    for _ in range(messages // PER_CONNECTION):
        with (
            contextlib.suppress(OSError),
            WebSocket(system.port, token if fuzz.random() < 0.8 else None) as attacker,
        ):
            for _ in range(PER_CONNECTION):
                send_something(attacker, fuzz, protocol_id)
                if not attacker.is_open:
                    break
    for _ in range(messages * HEADS // MESSAGES):
        with contextlib.suppress(OSError), connect(system.port) as sock:
            head = fuzz.choice(REQUEST_HEADS) if fuzz.random() < 0.8 else os.urandom(fuzz.randrange(2000))
            sock.sendall(head[: fuzz.randrange(len(head) + 1)] if fuzz.random() < 0.2 else head)
            sock.settimeout(0.02)
            sock.recv(100)


def send_something(attacker: WebSocket, fuzz: Generator, protocol_id: str) -> None:
    kind = fuzz.random()
    if kind < 0.15:
        attacker.text(fuzz.choice(PACKETS))
    elif kind < 0.18:
        attacker.raw(fuzz.choice(FRAMES))
    elif kind < 0.25:
        attacker.raw(frame(b"42" + fuzz.choice(RAW_BODIES)[:60_000]))
    elif kind < 0.4:
        attacker.text(f'42{fuzz.randrange(99)}["protocol:join",{{"protocolId":"room-{fuzz.randrange(10**6)}"}}]')
    elif kind < 0.45:
        attacker.text('451-["protocol:join",{"_placeholder":true,"num":0}]')
        attacker.raw(frame(os.urandom(fuzz.randrange(50_000)), BINARY))
    else:
        known = {"protocolId": protocol_id, "token": "x"}
        fields = known | {fuzz.choice(FIELDS): fuzz.value()} if fuzz.random() < 0.6 else fuzz.value()
        number = fuzz.choice(["", "0", "7", "123456"])
        attacker.text(f"42{number}" + json.dumps([fuzz.choice(EVENTS), fields])[:60_000])


def settled_files(system: Stack) -> int:
    """How many files the process holds open after it has closed the attackers' connections."""
    seen: list[int] = []

    def is_steady() -> bool:
        seen.append(open_files(system.pid("web-1")))
        return seen[-1:] == seen[-2:-1]

    until(is_steady, 60, "the number of open files is steady", pause=3)  # longer than the handshake deadline
    return seen[-1]


def settle(system: Stack, files: int) -> None:
    """Wait until the process has closed the attackers' connections."""
    until(lambda: open_files(system.pid("web-1")) <= files + POOLED, 30, "the files are closed")
    assert system.api.with_token(None).get("//healthz").status == 200
