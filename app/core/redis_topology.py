"""Which Redis server owns which slot: one for all of them, or each primary of a cluster its own.

The slot map of a cluster is redis-py's. A name of a server is `host:port`; all methods raise redis.RedisError.
"""

import threading
import time
from collections.abc import Iterable
from typing import Protocol, cast

import redis
from redis.cluster import ClusterNode, NodesManager
from redis.connection import parse_url
from redis.exceptions import AskError, RedisClusterException

from app.config.redis_addresses import SENTINEL_SCHEME, cluster_nodes, is_cluster, parse_sentinel
from app.core.redis_connection import CONNECTION_OPTIONS, connect_redis

SLOTS = 16_384
REFRESH_SECONDS = 0.1


class Topology(Protocol):
    """The servers and their slots."""

    is_cluster: bool

    def owner(self, slot: int) -> str:
        """The name of the server that owns the slot."""
        ...

    def owners(self, slots: Iterable[int]) -> dict[str, list[int]]:
        """The servers that own any of these slots, and which."""
        ...

    def client(self, name: str) -> redis.Redis: ...

    def refresh(self, failed: str = "") -> None:
        """Ask the servers which slots they own, the failed one last; at most every 0.1 s."""
        ...

    def redirect(self, error: AskError) -> str:
        """The name of the server that an error reply names; after MOVED it is the owner of the slot."""
        ...


def topology_of(url: str) -> Topology:
    """Opens no connection."""
    return Cluster(url) if is_cluster(url) else SingleServer(url)


class SingleServer:
    """A standalone server, or the primary of a Sentinel group."""

    is_cluster = False

    def __init__(self, url: str) -> None:
        self._client = connect_redis(url)
        options = self._client.connection_pool.connection_kwargs
        is_sentinel = url.startswith(SENTINEL_SCHEME)
        self._name = parse_sentinel(url).service if is_sentinel else f"{options.get('host')}:{options.get('port')}"

    def owner(self, slot: int) -> str:  # noqa: ARG002
        return self._name

    def owners(self, slots: Iterable[int]) -> dict[str, list[int]]:
        return {self._name: list(slots)}

    def client(self, name: str) -> redis.Redis:  # noqa: ARG002
        return self._client

    def refresh(self, failed: str = "") -> None: ...

    def redirect(self, error: AskError) -> str:
        raise redis.ConnectionError("The server belongs to a cluster: ROOMS_REDIS_URL must be one.") from error


class Cluster:
    """The primaries of a Redis or Valkey Cluster, found by asking the nodes of the URL and those that they name."""

    is_cluster = True

    def __init__(self, url: str) -> None:
        seeds = [parse_url(each) for each in cluster_nodes(url)]
        self._seeds = [(seed.pop("host"), seed.pop("port", 6379)) for seed in seeds]
        connection = seeds[0].pop("connection_class", None)
        self._options = CONNECTION_OPTIONS | seeds[0] | ({"ssl": True} if connection else {})
        self._lock = threading.Lock()
        self._found: NodesManager | None = None
        self._refreshed_at = float("-inf")

    def owner(self, slot: int) -> str:
        nodes = self._nodes().slots_cache.get(slot)
        if not nodes:
            raise redis.exceptions.ClusterDownError(f"No server owns the slot {slot}.")
        return str(nodes[0].name)

    def owners(self, slots: Iterable[int]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        owned = self._nodes().slots_cache
        for slot in slots:
            if nodes := owned.get(slot):
                found.setdefault(nodes[0].name, []).append(slot)
        return found

    def client(self, name: str) -> redis.Redis:
        nodes = self._nodes()
        node = nodes.get_node(node_name=name)
        if node is None:
            raise redis.ConnectionError(f"{name} is not in the cluster.")
        if node.redis_connection is None:  # known from a redirection alone
            nodes.create_redis_connections([node])
        return cast(redis.Redis, node.redis_connection)

    def refresh(self, failed: str = "") -> None:
        nodes = self._nodes()
        with self._lock:
            if time.monotonic() - self._refreshed_at < REFRESH_SECONDS:
                return
            try:
                nodes.initialize(
                    additional_startup_nodes_info=self._seeds,
                    disconnect_startup_nodes_pools=False,
                    last_failed_node_name=failed or None,
                )
            except RedisClusterException as error:
                raise redis.ConnectionError(str(error)) from error
            finally:
                self._refreshed_at = time.monotonic()

    def redirect(self, error: AskError) -> str:
        nodes = self._nodes()
        if not error.host:  # the server does not know its own address
            self.refresh()
            return self.owner(error.slot_id)
        if isinstance(error, redis.exceptions.MovedError):
            nodes.move_slot(error)
            return self.owner(error.slot_id)
        known = nodes.get_node(error.host, error.port)
        if known is None:
            known = ClusterNode(error.host, error.port, "primary")
            nodes.nodes_cache[known.name] = known
        return str(known.name)

    def _nodes(self) -> NodesManager:
        if (found := self._found) is not None:
            return found
        with self._lock:
            if self._found is None:
                seeds = [ClusterNode(*seed) for seed in self._seeds]
                try:
                    self._found = NodesManager(seeds, **self._options)
                except RedisClusterException as error:
                    raise redis.ConnectionError(str(error)) from error
            return self._found
