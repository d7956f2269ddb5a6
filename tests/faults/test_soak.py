"""Five minutes of load under random kills: 4 web and 2 worker processes, 200 rooms, 2,000 clients.

`SOAK_SECONDS=3600` lasts an hour; docs/reliability.md has the figures of a longer run. A shorter one, as in CI, has
80 rooms with the same traffic, so that each is closer to its limit, and 800 clients.
"""

import os
import random
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.emissions import Emissions
from tests.support.rooms import Rooms
from tests.support.seeds import SEED
from tests.support.stack import Stack

SECONDS = int(os.environ.get("SOAK_SECONDS", "300"))
ROOMS, CLIENTS_PER_ROOM, WEBS = 200 if SECONDS >= 300 else 80, 10, 4
HOT = 5  # rooms with more traffic than their budget
KILL_EVERY_SECONDS = 12 if SECONDS >= 300 else 8
KILLS = max(4, SECONDS // KILL_EVERY_SECONDS)
KILLED = ["web-2", "web-3", "web-4", "worker", "beat", "worker-payments", "worker-webhooks"]
GROWTH = 1.25
HOT_SHARE = 0.5
DEPOSITS_A_STEP = 4


class Traffic(threading.Thread):
    """Sends reports, completions, deposits and filings to random rooms until `stop`; counts what was accepted."""

    def __init__(self, api: Api, protocols: list[str], seed: int) -> None:
        super().__init__(daemon=True)
        self._api, self._protocols, self._random = api, protocols, random.Random(seed)
        self._stopped = threading.Event()
        self.tried: defaultdict[str, int] = defaultdict(int)
        self.deposited: defaultdict[str, int] = defaultdict(int)
        self.accepted = 0

    def stop(self) -> None:
        self._stopped.set()
        self.join(30)

    def run(self) -> None:
        admin, owner = self._api.admin, self._api.owner
        while not self._stopped.wait(0.1):
            try:
                self._step(admin, owner)
            except OSError:  # its web process was killed; the next request reaches another one
                continue

    def _step(self, admin, owner) -> None:
        updates = [self._report() for _ in range(20)]
        if admin.post("/progress", {"updates": updates}).status == 202:
            self.accepted += len(updates)
        for _ in range(DEPOSITS_A_STEP):
            self._deposit(owner)
        if self._random.random() < 0.1:
            room = self._random.choice(self._protocols)
            vulnerability = {
                "title": "Reentrancy",
                "severity": "HIGH",
                "bounty": "1",
            }  # filing without a bounty emits no event
            self._api.validator.post(f"/protocols/{room}/vulnerabilities", vulnerability)

    def _deposit(self, owner) -> None:
        room = self._random.choice(self._protocols[:HOT] if self._random.random() < HOT_SHARE else self._protocols)
        self.tried[room] += 1
        if owner.post(f"/protocols/{room}/deposits", {"amount": "1"}).status == 201:
            self.deposited[room] += 1

    def _report(self) -> dict[str, object]:
        room = self._random.choice(self._protocols)
        fields = {"agentId": f"A-{room}", "protocolId": room, "task": "scan", "progress": self._random.randrange(100)}
        if self._random.random() < 0.02:
            fields |= {"status": "COMPLETED", "nextTask": "scan again"}
        return fields


def _rss(pid: int) -> int:
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1])


def _prepare(stack: Stack) -> list[str]:
    admin = stack.api.admin
    protocols = [f"soak-{number}" for number in range(ROOMS)]
    for protocol in protocols:
        admin.post("/protocols", {"id": protocol, "name": "Soak"}).expect(201)
        admin.post("/agents", {"id": f"A-{protocol}", "name": "Soak", "type": "RESEARCHER"}).expect(201)
    return protocols


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 400)
def test_under_random_kills_limits_and_order_hold_and_every_client_recovers(make_stack):
    stack = make_stack(webs=WEBS)
    stack.run_part("worker", "--queues", "realtime,maintenance")
    protocols = _prepare(stack)
    rng = random.Random(SEED)
    with Rooms(stack, dict.fromkeys(protocols, CLIENTS_PER_ROOM)) as rooms, stack.emissions() as emissions:
        rooms.wait_until_live(120)
        traffic = [Traffic(stack.api, protocols, seed) for seed in (SEED + 1, SEED + 2)]
        for each in traffic:
            each.start()
        witness, before = stack.pid("web-1"), 0
        for kill in range(KILLS):
            time.sleep(KILL_EVERY_SECONDS)
            if kill == 2:  # its caches are filled by now
                before = _rss(witness)
            stack.kill(rng.choice(KILLED))
        for each in traffic:
            each.stop()

        last = rooms.wait_until_right(120)

        assert max(emissions.most_a_second(protocol) for protocol in protocols) <= 10
        assert _out_of_order(emissions) == []
        assert last["outOfOrder"] == 0
        assert stack.pid("web-1") == witness
        assert _rss(witness) < before * GROWTH
        assert all(each.accepted > 0 for each in traffic)
        _assert_pools_hold_accepted_deposits(stack, traffic)
        memory = f"memory {before} → {_rss(witness)} KiB"
        print(f"soak, TEST_SEED={SEED}: {last['events']} deliveries, {len(emissions.seen)} events, {memory}")


def _out_of_order(emissions: Emissions) -> list[str]:
    """The rooms whose sequence numbers decreased at some time."""
    last: dict[str, int] = {}
    decreased = []
    for each in emissions.seen:
        if each.seq <= last.get(each.protocol_id, -1):
            decreased.append(each.protocol_id)
        last[each.protocol_id] = each.seq
    return decreased


def _assert_pools_hold_accepted_deposits(stack: Stack, traffic: list[Traffic]) -> None:
    """Each pool holds the deposits answered with 201, and possibly some whose response was lost."""
    for protocol in {room for each in traffic for room in each.tried}:
        accepted = sum(each.deposited[protocol] for each in traffic)
        tried = sum(each.tried[protocol] for each in traffic)
        total = float(stack.api.admin.get(f"/protocols/{protocol}/pool").expect(200)["total"])
        assert accepted <= total <= tried
