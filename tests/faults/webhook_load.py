"""Deposits at a steady rate in protocols with webhooks, and what arrived of them at the endpoints."""

import json
import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests

from tests.factories import make_protocol
from tests.support.api import Api
from tests.support.machine_speed import patience
from tests.support.stack import Stack
from tests.support.webhook_receiver import Answer, Received, Receiver

SENDERS = 4


@dataclass
class WebhookLoad:
    """`stored`: the references of the acknowledged deposits of each protocol."""

    stack: Stack
    receiver: Receiver
    endpoints: dict[str, str] = field(default_factory=dict)  # their protocols, by endpoint
    stored: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def make_webhooks(self, protocols: int, scripts: dict[str, tuple[Answer, ...]]) -> None:
        """Spread webhooks at these endpoints evenly over new protocols."""
        owner = self.stack.api.owner
        ids = [make_protocol(self.stack.api) for _ in range(protocols)]
        for number, (name, answers) in enumerate(scripts.items()):
            protocol_id = ids[number % protocols]
            url = self.receiver.script(name, *answers)
            body = {"url": url, "eventTypes": ["bounty_pool:updated"]}
            owner.post(f"/protocols/{protocol_id}/webhooks", body).expect(201)
            self.endpoints[name] = protocol_id

    def store(self, events: int, rate: float) -> None:
        """Deposit at this rate until all deposits are acknowledged, whatever dies meanwhile."""
        protocols = sorted(set(self.endpoints.values()))
        began = time.monotonic()

        def share(first: int) -> None:
            api = self.stack.api
            for number in range(first, events, SENDERS):
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                self._deposit(api, protocols[number % len(protocols)])

        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(share, range(SENDERS)))

    def _deposit(self, api: Api, protocol_id: str) -> None:
        reference, deadline = uuid.uuid4().hex, time.monotonic() + patience(60)
        body = {"amount": "1.00", "reference": reference}
        while True:
            try:
                answer = api.owner.post(f"/protocols/{protocol_id}/deposits", body, Idempotency_Key=reference)
            except requests.RequestException:
                status = 0
            else:
                status = answer.status
            if status == 201:
                self.stored[protocol_id].add(reference)
                return
            assert status in (0, 409, 503), answer
            assert time.monotonic() < deadline, "the system is not back"
            time.sleep(0.1)

    def missing(self, endpoint: str) -> int:
        """How many events an endpoint has yet to get."""
        arrived = {_data(each)["reference"] for each in self.receiver.of(endpoint)}
        return len(self.stored[self.endpoints[endpoint]] - arrived)

    def check_ids(self) -> None:
        """An event has one id at an endpoint, however often it was sent, and an id belongs to one event."""
        ids: dict[tuple[str, str], set[str]] = defaultdict(set)
        owners: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for each in list(self.receiver.received):
            event = (each.endpoint, _data(each)["reference"])
            ids[event].add(each.id)
            owners[each.id].add(event)
        assert {len(found) for found in ids.values()} == {1}
        assert {len(found) for found in owners.values()} == {1}

    def latencies(self, endpoint: str) -> list[float]:
        """Seconds from each event's storing to its first arrival, ascending."""
        first: dict[str, float] = {}
        for each in self.receiver.of(endpoint):
            stored_at = datetime.fromisoformat(json.loads(each.body)["timestamp"]).timestamp()
            first.setdefault(each.id, each.at - stored_at)
        return sorted(first.values())


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def describe(load: WebhookLoad, names: list[str]) -> str:
    """Figures of a run, for people."""
    every = sorted(value for name in names for value in load.latencies(name))
    at: Callable[[int], float] = lambda percent: round(percentile(every, percent), 3)  # noqa: E731
    counts = {name: len(load.receiver.of(name)) for name in sorted(load.endpoints)}
    events = sum(map(len, load.stored.values()))
    return f"{events} events: p50 {at(50)} s, p99 {at(99)} s, longest {round(every[-1], 3)} s; requests: {counts}"


def _data(received: Received) -> Any:
    return json.loads(received.body)["data"]
