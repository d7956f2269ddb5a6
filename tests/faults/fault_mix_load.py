"""What the fault mix puts on a system: changes whose acceptance is remembered, probes of /healthz, and a stranger."""

import contextlib
import random
import socket
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import requests

from tests.factories import report
from tests.security.raw_websocket import WebSocket, frame
from tests.support.api import Answer, Api, Caller
from tests.support.stack import Stack

ATTEMPTS, PAUSE_SECONDS = 40, 0.25
PING = 9
PIPELINED = b"GET /healthz HTTP/1.1\r\nHost: stranger\r\n\r\n" * 200
PROBE_SECONDS = 0.1


@dataclass
class Accepted:
    """What the system has answered 200, 201 or 202 to, and so must keep."""

    deposits: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # references by protocol
    findings: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    payments: list[str] = field(default_factory=list)
    closed: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # tasks by agent
    running: int = 0


class Load(threading.Thread):
    """Reports, closings, deposits, filings, confirmations and payments in random rooms, until `stop`."""

    def __init__(self, api: Api, agents: dict[str, str], seed: int) -> None:
        super().__init__(daemon=True)
        self._api, self._agents, self._random = api, agents, random.Random(seed)
        self._ends = threading.Event()
        self.accepted = Accepted()
        self.failure: BaseException | None = None

    def stop(self) -> None:
        self._ends.set()
        self.join(120)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        steps = [self._report, self._report, self._report, self._close, self._deposit, self._deposit, self._pay]
        try:
            while not self._ends.wait(0.02):
                self._random.choice(steps)(self._random.choice(sorted(self._agents)))
        except BaseException as failure:
            self.failure = failure

    def _send(self, caller: Caller, path: str, body: object, *statuses: int) -> Answer | None:
        """The answer, once it is final: repeated with one key while none comes or it asks to try again."""
        key = uuid.uuid4().hex
        for _ in range(ATTEMPTS):
            with contextlib.suppress(OSError):  # its web process was killed or stopped
                answer = caller.post(path, body, Idempotency_Key=key)
                if answer.status in statuses:
                    return answer
                again = answer.status in (429, 503) or "IDEMPOTENCY_KEY_IN_USE" in answer.body.decode()
                assert again, answer
            if self._ends.wait(PAUSE_SECONDS):
                return None
        return None

    def _report(self, protocol_id: str) -> None:
        agent_id = self._agents[protocol_id]
        body = report(protocol_id, "scan", self._random.randrange(100))
        with contextlib.suppress(OSError):  # a report that is lost is replaced by the next one
            answer = self._api.agent(agent_id).post(f"/agents/{agent_id}/progress", body)
            self.accepted.running += answer.status == 202

    def _close(self, protocol_id: str) -> None:
        agent_id, task = self._agents[protocol_id], f"task {uuid.uuid4().hex[:12]}"
        body = report(protocol_id, task, status="COMPLETED")
        if self._send(self._api.agent(agent_id), f"/agents/{agent_id}/progress", body, 202):
            self.accepted.closed[agent_id].append(task)

    def _deposit(self, protocol_id: str) -> None:
        reference = uuid.uuid4().hex
        body = {"amount": "10", "reference": reference}
        if self._send(self._api.owner, f"/protocols/{protocol_id}/deposits", body, 201):
            self.accepted.deposits[protocol_id].append(reference)

    def _pay(self, protocol_id: str) -> None:
        """File a finding, confirm it and ask for its payment, as far as each step is accepted."""
        finding = {"title": "Reentrancy", "severity": "HIGH"}
        filed = self._send(self._api.validator, f"/protocols/{protocol_id}/vulnerabilities", finding, 201)
        if filed is None:
            return
        self.accepted.findings.append(filed.json["id"])
        path = f"/vulnerabilities/{filed.json['id']}"
        if self._send(self._api.validator, f"{path}/confirm", {}, 200) is None:
            return
        self.accepted.confirmed.append(filed.json["id"])
        body = {"recipient": "0xabc", "amount": "1"}
        paid = self._send(self._api.owner, f"{path}/payment", body, 202, 409)  # 409: nothing in the pool yet
        if paid is not None and paid.status == 202:
            self.accepted.payments.append(paid.json["id"])


class Probes(threading.Thread):
    """Asks `/healthz` over a new connection ten times a second; remembers when and for how long."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self._ends = f"{url}/healthz", threading.Event()
        self.taken: list[tuple[float, float]] = []

    def stop(self) -> None:
        self._ends.set()
        self.join(30)

    def run(self) -> None:
        while not self._ends.wait(PROBE_SECONDS):
            began = time.monotonic()
            with contextlib.suppress(requests.RequestException), requests.Session() as session:
                session.trust_env = False
                session.get(self._url, timeout=10)
            self.taken.append((began, time.monotonic()))

    def p99_ms(self, without: list[tuple[float, float]]) -> float:
        """The 99th percentile of the probes that met none of these spans, in milliseconds."""
        met = [any(began < end and start < ended for start, end in without) for began, ended in self.taken]
        times = sorted(ended - began for (began, ended), left_out in zip(self.taken, met, strict=True) if not left_out)
        return 1000 * times[int(len(times) * 0.99)] if times else 0.0


def flood(stack: Stack, seconds: float) -> None:
    """A stranger without a token: pipelined requests on two connections, PING frames on five WebSockets."""
    end = time.monotonic() + seconds
    senders = [threading.Thread(target=_pipeline, args=(stack.port, end), daemon=True) for _ in range(2)]
    senders += [threading.Thread(target=_pings, args=(stack.port, end), daemon=True) for _ in range(5)]
    for each in senders:
        each.start()
    for each in senders:
        each.join(seconds + 30)


def _pipeline(port: int, end: float) -> None:
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            for _ in _until(end):
                sock.sendall(PIPELINED)
                if not sock.recv(1 << 20):
                    break
        time.sleep(0.05)


def _pings(port: int, end: float) -> None:
    while time.monotonic() < end:
        with contextlib.suppress(OSError, AssertionError), WebSocket(port) as stranger:
            stranger.sock.settimeout(1)
            for _ in _until(end):
                stranger.raw(frame(b"", PING) * 500)
                if not stranger.sock.recv(1 << 20):
                    break
        time.sleep(0.05)


def _until(end: float) -> Iterator[None]:
    while time.monotonic() < end:
        yield
