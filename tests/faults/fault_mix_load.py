"""The load of the fault mix: changes whose acceptance is recorded, probes of /healthz, and a flooding client."""

import contextlib
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import requests

from tests.factories import report
from tests.security.raw_websocket import WebSocket, frame
from tests.support.api import Answer, Api, Caller
from tests.support.stack import Stack

ATTEMPTS, PAUSE_SECONDS = 40, 0.25
PING = 9
PIPELINED = b"GET /healthz HTTP/1.1\r\nHost: flood\r\n\r\n" * 200
PROBE_SECONDS = 0.1


@dataclass(frozen=True)
class Change:
    """A change that the system accepted with 200, 201 or 202 and must not lose.

    `kind` is `deposit`, `filing`, `confirmation`, `payment` or `completion`; `name` is the deposit's reference, the
    completed task or an id; `owner` is the protocol or agent; `at` is the time of the answer by the steady clock.
    """

    kind: str
    name: str
    owner: str
    at: float


class Load(threading.Thread):
    """Sends reports, terminal updates, deposits, filings, confirmations and payments to random rooms until `stop`."""

    def __init__(self, api: Api, agents: dict[str, str], seed: int) -> None:
        super().__init__(daemon=True)
        self._api, self._agents, self._random = api, agents, random.Random(seed)
        self._stopping = threading.Event()
        self.accepted: list[Change] = []
        self.running_reports = 0
        self.failure: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()
        self.join(120)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        steps = [self._report, self._report, self._report, self._complete, self._deposit, self._deposit, self._pay]
        try:
            while not self._stopping.wait(0.02):
                self._random.choice(steps)(self._random.choice(sorted(self._agents)))
        except BaseException as failure:
            self.failure = failure

    def _send(self, caller: Caller, path: str, body: object, *statuses: int) -> Answer | None:
        """The final response; retries with one idempotency key while there is none or it asks for a retry."""
        key = uuid.uuid4().hex
        for _ in range(ATTEMPTS):
            with contextlib.suppress(OSError):  # its web process was killed or stopped
                answer = caller.post(path, body, Idempotency_Key=key)
                if answer.status in statuses:
                    return answer
                again = answer.status in (429, 503) or "IDEMPOTENCY_KEY_IN_USE" in answer.body.decode()
                assert again, answer
            if self._stopping.wait(PAUSE_SECONDS):
                return None
        return None

    def _report(self, protocol_id: str) -> None:
        agent_id = self._agents[protocol_id]
        body = report(protocol_id, "scan", self._random.randrange(100))
        with contextlib.suppress(OSError):  # the next report replaces a lost one
            answer = self._api.agent(agent_id).post(f"/agents/{agent_id}/progress", body)
            self.running_reports += answer.status == 202

    def _complete(self, protocol_id: str) -> None:
        agent_id, task = self._agents[protocol_id], f"task {uuid.uuid4().hex[:12]}"
        body = report(protocol_id, task, status="COMPLETED")
        if self._send(self._api.agent(agent_id), f"/agents/{agent_id}/progress", body, 202):
            self._note("completion", task, agent_id)

    def _deposit(self, protocol_id: str) -> None:
        reference = uuid.uuid4().hex
        body = {"amount": "10", "reference": reference}
        if self._send(self._api.owner, f"/protocols/{protocol_id}/deposits", body, 201):
            self._note("deposit", reference, protocol_id)

    def _pay(self, protocol_id: str) -> None:
        """File a vulnerability, confirm it and request its payment, as far as each step is accepted."""
        vulnerability = {"title": "Reentrancy", "severity": "HIGH"}
        filed = self._send(self._api.validator, f"/protocols/{protocol_id}/vulnerabilities", vulnerability, 201)
        if filed is None:
            return
        self._note("filing", filed.json["id"], protocol_id)
        path = f"/vulnerabilities/{filed.json['id']}"
        # 404: a restored database has forgotten the vulnerability; 409: the confirmation, or the pool is empty.
        confirmed = self._send(self._api.validator, f"{path}/confirm", {}, 200, 404)
        if confirmed is None or confirmed.status != 200:
            return
        self._note("confirmation", filed.json["id"], protocol_id)
        body = {"recipient": "0xabc", "amount": "1"}
        paid = self._send(self._api.owner, f"{path}/payment", body, 202, 404, 409)
        if paid is not None and paid.status == 202:
            self._note("payment", paid.json["id"], protocol_id)

    def _note(self, kind: str, name: str, owner: str) -> None:
        self.accepted.append(Change(kind, name, owner, time.monotonic()))


class Probes(threading.Thread):
    """Requests `/healthz` over a new connection ten times a second and records start and end."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self._stopping = f"{url}/healthz", threading.Event()
        self.taken: list[tuple[float, float]] = []

    def stop(self) -> None:
        self._stopping.set()
        self.join(30)

    def run(self) -> None:
        while not self._stopping.wait(PROBE_SECONDS):
            began = time.monotonic()
            with contextlib.suppress(requests.RequestException), requests.Session() as session:
                session.trust_env = False
                session.get(self._url, timeout=10)
            self.taken.append((began, time.monotonic()))

    def p99_ms(self, without: list[tuple[float, float]]) -> float:
        """The 99th percentile in milliseconds of the probes outside these time spans."""
        met = [any(began < end and start < ended for start, end in without) for began, ended in self.taken]
        times = sorted(ended - began for (began, ended), left_out in zip(self.taken, met, strict=True) if not left_out)
        return 1000 * times[int(len(times) * 0.99)] if times else 0.0


def flood(stack: Stack, seconds: float) -> None:
    """Flood without a token: pipelined requests on two connections and PING frames on five WebSockets."""
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
            for _ in _while_before(end):
                sock.sendall(PIPELINED)
                if not sock.recv(1 << 20):
                    break
        time.sleep(0.05)


def _pings(port: int, end: float) -> None:
    while time.monotonic() < end:
        with contextlib.suppress(OSError, AssertionError), WebSocket(port) as client:
            client.sock.settimeout(1)
            for _ in _while_before(end):
                client.raw(frame(b"", PING) * 500)
                if not client.sock.recv(1 << 20):
                    break
        time.sleep(0.05)


def _while_before(end: float) -> Iterator[None]:
    while time.monotonic() < end:
        yield
