"""A running system whose rooms are in a Valkey Cluster of three primaries with replicas."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app.realtime.redis_keys import PARTITION_SLOTS, partition_of
from tests.factories import deposit, make_agent, make_protocol, unique
from tests.support.rooms import Rooms
from tests.support.stack import Stack
from tests.support.valkey_cluster import ClusterNode, ValkeyCluster, valkey_cluster

ROOMS_PER_PRIMARY, CLIENTS_PER_ROOM = 3, 3


@dataclass
class ClusterScene:
    """Rooms on each primary, each with an agent, a funded pool and connected reference clients."""

    stack: Stack
    cluster: ValkeyCluster
    agents: dict[str, str]  # by protocol
    rooms: Rooms

    def slots_of(self, node: ClusterNode) -> list[int]:
        """The slots with rooms of this scene that the node owns."""
        used = {PARTITION_SLOTS[partition_of(protocol_id)] for protocol_id in self.agents}
        return sorted(used.intersection(node.slots()))

    def rooms_on(self, node: ClusterNode) -> list[str]:
        owned = set(node.slots())
        return [each for each in self.agents if PARTITION_SLOTS[partition_of(each)] in owned]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    with valkey_cluster(tmp_path_factory.mktemp("cluster"), password="s3cret-of-the-cluster") as made:
        yield made


@pytest.fixture(scope="module")
def cluster_stack(cluster: ValkeyCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("cluster-stack")
    with Stack(folder, webs=2, ROOMS_REDIS_URL=cluster.url) as stack:
        yield stack


@pytest.fixture(scope="module")
def scene(cluster: ValkeyCluster, cluster_stack: Stack) -> Iterator[ClusterScene]:
    agents: dict[str, str] = {}
    for primary in cluster.primaries():
        for _ in range(ROOMS_PER_PRIMARY):
            protocol_id = make_protocol(cluster_stack.api, id=_id_on(primary))
            agents[protocol_id] = make_agent(cluster_stack.api)
            deposit(cluster_stack.api, protocol_id, "100000")
    with Rooms(cluster_stack, dict.fromkeys(agents, CLIENTS_PER_ROOM)) as rooms:
        rooms.wait_until_live()
        yield ClusterScene(cluster_stack, cluster, agents, rooms)


def _id_on(node: ClusterNode) -> str:
    owned = set(node.slots())
    return next(each for _ in range(10_000) if PARTITION_SLOTS[partition_of(each := unique("P"))] in owned)
