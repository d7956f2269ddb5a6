"""Proves clients against a real system whose processes are killed: `python -m clients.conformance.kills --minutes 10`.

Clients of each driver and transport follow two rooms, and agents of each driver report, while deposits, findings and
payments come in and SIGKILL ends a web process, worker, beat or Redis every few seconds. At the end each client's state
must equal `/state`, and each task that an agent has ended must have its end. Exits with 1 otherwise.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clients.conformance import drivers
from clients.conformance.driver import Command, Driver
from clients.conformance.script import Record
from clients.conformance.states import contradictions, difference
from tests.factories import deposit, make_agent, make_protocol
from tests.faults.fault_mix_load import Load
from tests.support.processes import until
from tests.support.seeds import SEED
from tests.support.stack import Stack

FUNDS = "1000000"
PARTS = ("web-1", "web-2", "worker", "worker-payments", "beat", "redis")
TASK_PAUSE_SECONDS = 1.0
EQUAL_SECONDS, TASKS_SECONDS = 180, 120
TOKEN_TTL_SECONDS = 24 * 3600
ENDS = {"complete": "COMPLETED", "fail": "FAILED"}


class Follower:
    """A client of a room. `faults`: what contradicts itself in a state that it has shown."""

    def __init__(self, stack: Stack, command: Command, transport: str, protocol_id: str) -> None:
        self.name, self.protocol_id = f"{command.name} over {transport} in {protocol_id}", protocol_id
        self.faults: list[str] = []
        self.states = 0
        token = stack.api.token("viewer", protocols=[protocol_id], ttl=TOKEN_TTL_SECONDS)
        environment = {"DASHBOARD_URL": stack.url, "TOKEN": token, "PROTOCOL_ID": protocol_id}
        environment |= {"TRANSPORT": transport, "ROLE": "room"}
        self.driver = Driver(command, environment, Record(), keep=1, on_message=self._judge)

    def _judge(self, message: dict[str, Any]) -> None:
        if message.get("type") == "state":
            self.states += 1
            self.faults += contradictions(message["state"], self.protocol_id)

    def difference(self, state: dict[str, Any]) -> str | None:
        if self.driver.has_ended:
            return "its driver has ended"
        found = difference(self.driver.state, state)
        return found if self.driver.status == "live" else f"its status is {self.driver.status!r}; {found}"


class Worker(threading.Thread):
    """An agent that works with the package until `stop`, one task after the other."""

    def __init__(self, stack: Stack, command: Command, protocol_id: str, seed: int) -> None:
        super().__init__(daemon=True)
        self.agent_id, self._random = make_agent(stack.api), random.Random(seed)
        self.ended: dict[str, str] = {}
        self._stopping = threading.Event()
        token = stack.api.token("agent", sub=self.agent_id, protocols=[protocol_id], ttl=TOKEN_TTL_SECONDS)
        environment = {"DASHBOARD_URL": stack.url, "TOKEN": token, "PROTOCOL_ID": protocol_id}
        environment |= {"AGENT_ID": self.agent_id, "TRANSPORT": "http", "ROLE": "agent"}
        self.driver = Driver(command, environment, Record(), keep=1)

    def run(self) -> None:
        while not self._stopping.wait(TASK_PAUSE_SECONDS):
            task = f"task {len(self.ended) + 1}"
            self.driver.send("task", task=task)
            for progress in range(0, 100, 20):
                self.driver.send("progress", task=task, progress=progress)
                self._stopping.wait(self._random.uniform(0, TASK_PAUSE_SECONDS / 2))
            end = self._random.choice(sorted(ENDS))
            self.driver.send(end, task=task, **({"message": "It failed."} if end == "fail" else {}))
            self.ended[task] = ENDS[end]

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def missing(self, stack: Stack) -> dict[str, str]:
        """The tasks that the agent has ended and the system does not show so."""
        stored: dict[str, str] = {}
        cursor = ""
        while cursor is not None:
            page = stack.api.admin.get(f"/agents/{self.agent_id}/tasks?limit=200{cursor}").expect(200)
            stored |= {each["name"]: each["status"] for each in page["items"]}
            cursor = page["nextCursor"] and f"&cursor={page['nextCursor']}"
        return {task: status for task, status in self.ended.items() if stored.get(task) != status}


@dataclass
class Result:
    """`faults` is empty if the clients passed; `figures` says what was tried."""

    figures: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Scene:
    """A running system with two web processes, its load, and the clients."""

    def __init__(self, stack: Stack, commands: Sequence[Command], *, rooms: int, clients: int) -> None:
        self._stack, self._random = stack, random.Random(SEED)
        self._kills: Counter[str] = Counter()
        agents = {make_protocol(stack.api): make_agent(stack.api) for _ in range(rooms)}
        for protocol_id in agents:
            deposit(stack.api, protocol_id, FUNDS)
        self.load = Load(stack.api, agents, SEED)
        self.followers = [
            Follower(stack, command, transport, protocol_id)
            for command in commands
            for transport in command.transports
            for protocol_id in list(agents) * clients
        ]
        reporting = [each for each in commands if "agent" in each.roles]
        self.workers = [Worker(stack, each, list(agents)[at % rooms], SEED + at) for at, each in enumerate(reporting)]

    def run(self, seconds: float, kill_every: float) -> Result:
        until(
            lambda: all(each.driver.status == "live" for each in self.followers), 60, "all clients are live", pause=0.2
        )
        for each in (self.load, *self.workers):
            each.start()
        self._kill(time.monotonic() + seconds, kill_every)
        self._stack.wait_until_open(60)
        for each in (*self.workers, self.load):
            each.stop()
        self._stack.wait_until_whole(120)
        return self._judge()

    def _kill(self, end: float, kill_every: float) -> None:
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._random.uniform(0.5, 1.5) * kill_every))
            part = self._random.choice(PARTS)
            self._stack.kill(part)
            self._kills[part] += 1

    def _judge(self) -> Result:
        result, began = Result(), time.monotonic()
        result.faults += self._wait(self._lost_ends, TASKS_SECONDS)
        result.faults += self._wait(self._differences, EQUAL_SECONDS)
        result.figures = {
            "kills": dict(self._kills),
            "clients": len(self.followers),
            "states shown": sum(each.states for each in self.followers),
            "changes accepted": dict(Counter(each.kind for each in self.load.accepted)),
            "tasks ended by packages": sum(len(each.ended) for each in self.workers),
            "seconds until equal": round(time.monotonic() - began, 1),
        }
        result.faults += sorted({f"{each.name}: {fault}" for each in self.followers for fault in each.faults})
        return result

    @staticmethod
    def _wait(find: Any, seconds: float) -> list[str]:
        """The faults that remain."""
        last: list[str] = []

        def found_none() -> bool:
            last[:] = find()
            return not last

        try:
            until(found_none, seconds, "no faults", pause=0.5)
        except AssertionError:
            return last
        return []

    def _lost_ends(self) -> list[str]:
        return [f"agent {each.agent_id}: {lost}" for each in self.workers if (lost := each.missing(self._stack))]

    def _differences(self) -> list[str]:
        viewer = self._stack.api.admin
        rooms = {each.protocol_id for each in self.followers}
        states = {room: viewer.get(f"/protocols/{room}/state").expect(200) for room in rooms}
        found = [(each, each.difference(states[each.protocol_id])) for each in self.followers]
        return [f"{each.name}: {difference}" for each, difference in found if difference]

    def close(self) -> str:
        """End all drivers, and return what they wrote to stderr."""
        return "".join(each.driver.kill() for each in (*self.followers, *self.workers))


def run(
    stack: Stack, commands: Sequence[Command], *, seconds: float, kill_every: float, rooms: int = 2, clients: int = 2
) -> Result:
    scene = Scene(stack, commands, rooms=rooms, clients=clients)
    result = None
    try:
        result = scene.run(seconds, kill_every)
    finally:
        stderr = scene.close()
        if result is None or result.faults:
            sys.stderr.write(stderr)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m clients.conformance.kills", description=__doc__)
    drivers.add_arguments(parser)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kill-every", type=float, default=5, help="seconds (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=2, help="of each driver, transport and room")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), webs=2) as stack:
        commands = drivers.commands(options.driver, options.roles, options.transports)
        seconds = 60 * options.minutes
        result = run(stack, commands, clients=options.clients, seconds=seconds, kill_every=options.kill_every)
    print(f"TEST_SEED={SEED}")
    for name, figure in result.figures.items():
        print(f"{name}: {figure}")
    for fault in result.faults:
        print(f"fault: {fault}")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
