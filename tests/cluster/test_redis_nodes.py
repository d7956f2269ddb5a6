"""Commands reach the server that owns their slot, also while slots move and servers fail."""

import threading
from collections.abc import Callable, Iterator

import pytest
import redis
from redis.crc import key_slot

from app.core.redis_connection import UnsuitableServerError
from app.core.redis_nodes import RedisNodes
from tests.support.machine_speed import patience
from tests.support.processes import until
from tests.support.valkey_cluster import SLOTS, ClusterNode, ValkeyCluster, valkey_cluster

KEYS = [f"key-{number}" for number in range(90)]
SUM = "local sum = 0 for _, key in ipairs(KEYS) do sum = sum + (redis.call('GET', key) or 0) end return sum"
Counted = Callable[..., float]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    with valkey_cluster(tmp_path_factory.mktemp("nodes"), password="p@ss word") as made:
        yield made


@pytest.fixture
def nodes(cluster: ValkeyCluster) -> RedisNodes:
    return RedisNodes(f"{cluster.url}?client_name=under-test", slots=[key_slot(key.encode()) for key in KEYS])


def slot(key: str) -> int:
    return key_slot(key.encode())


def errors(counted: Counted, kind: str) -> float:
    return counted("dashboard_rooms_redis_errors_total", kind=kind)


def has_connection(node: ClusterNode) -> bool:
    return b"name=under-test" in node.call("CLIENT", "LIST")


def test_replies_of_all_primaries_come_in_the_order_of_the_commands(nodes: RedisNodes) -> None:
    assert nodes.execute([(slot(key), ("SET", key, key)) for key in KEYS]) == [b"OK"] * len(KEYS)
    assert nodes.execute([(slot(key), ("GET", key)) for key in KEYS]) == [key.encode() for key in KEYS]
    assert sum(node.slots for node in nodes.nodes()) == SLOTS
    assert len(nodes.nodes()) == 3


def test_an_error_reply_stands_in_the_place_of_its_command(nodes: RedisNodes) -> None:
    first, second, third = nodes.execute(
        [(slot(k), c) for k, c in [("a", ("SET", "a", "x")), ("b", ("NO",))]] + [(slot("a"), ("INCR", "a"))]
    )
    assert first == b"OK"
    assert isinstance(second, redis.ResponseError)
    assert isinstance(third, redis.ResponseError)
    with pytest.raises(redis.ResponseError):
        nodes.call(slot("a"), "INCR", "a")


def test_each_new_connection_is_prepared_with_the_slots_of_its_server(cluster: ValkeyCluster) -> None:
    prepared: list[list[int]] = []
    own = [slot(key) for key in KEYS]
    nodes = RedisNodes(cluster.url, lambda call, slots: prepared.append(slots) or call("PING"), own)
    for _ in range(2):
        nodes.execute([(slot(key), ("GET", key)) for key in KEYS])
    assert sorted(each for slots in prepared for each in slots) == sorted(own)
    assert len(prepared) == 3


def test_a_slot_on_its_way_is_asked_for_and_a_script_waits_until_all_its_keys_are_there(
    cluster: ValkeyCluster, nodes: RedisNodes, counted: Counted
) -> None:
    names = [f"{{moving}}:{number}" for number in range(3)]
    moving, asked, waited = slot("{moving}"), errors(counted, "ask"), errors(counted, "try_again")
    for name in names:
        nodes.call(moving, "SET", name, 2)
    source = cluster.owner(moving)
    target = next(node for node in cluster.primaries() if node is not source)
    cluster.begin_move(moving, target)
    cluster.migrate(source, target, names[:2])

    sums: list[int] = []
    script = threading.Thread(target=lambda: sums.append(nodes.call(moving, "EVAL", SUM, len(names), *names)))
    script.start()
    until(lambda: errors(counted, "try_again") > waited, 10, "the script is told to try again")
    assert nodes.execute([(moving, ("GET", name)) for name in names]) == [b"2"] * 3
    cluster.end_move(moving, target)
    script.join(patience(10))

    assert sums == [6]
    assert errors(counted, "ask") > asked
    assert nodes.call(moving, "GET", names[2]) == b"2"


def test_the_connection_to_a_server_without_our_slots_is_closed(
    cluster: ValkeyCluster, nodes: RedisNodes, counted: Counted
) -> None:
    moved = errors(counted, "moved")
    new = cluster.add_node()
    key = KEYS[0]
    back = cluster.owner(slot(key))
    cluster.move([slot(key)], new)
    nodes.execute([(slot(each), ("SET", each, 1)) for each in KEYS])
    assert has_connection(new)
    cluster.move([slot(key)], back)
    assert nodes.call(slot(key), "GET", key) == b"1"
    until(lambda: not has_connection(new), 10, "the connection to the empty server is closed")
    assert errors(counted, "moved") > moved


def test_commands_for_a_killed_primary_fail_soon_and_its_replica_gets_the_next_ones(
    cluster: ValkeyCluster, nodes: RedisNodes, counted: Counted
) -> None:
    prepared: list[int] = []
    nodes = RedisNodes(cluster.url, lambda _, slots: prepared.append(len(slots)), [slot(key) for key in KEYS])
    nodes.execute([(slot(key), ("SET", key, 7)) for key in KEYS])
    lost, connections = errors(counted, "connection"), len(prepared)
    killed = cluster.owner(slot(KEYS[1]))
    killed.call("WAIT", 1, 5000)
    cluster.fail_over(killed)

    def is_served() -> bool:
        return nodes.execute([(slot(key), ("GET", key)) for key in KEYS]) == [b"7"] * len(KEYS)

    until(is_served, 10, "the replica serves the slots of the killed primary")
    assert errors(counted, "connection") > lost
    assert len(prepared) == connections + 1, "the replica is prepared before its first command"
    killed.start()
    cluster.wait_for_replicas()


def test_a_wrong_password_and_an_unknown_address_say_so(cluster: ValkeyCluster) -> None:
    with pytest.raises(redis.ConnectionError, match=r"(?i)invalid username-password|WRONGPASS"):
        RedisNodes(cluster.url.replace("p%40ss", "wrong")).call(0, "PING")
    with pytest.raises(redis.ConnectionError, match=r"127\.0\.0\.1:1"):
        RedisNodes("valkey-cluster://127.0.0.1:1").nodes()


def test_a_node_of_a_cluster_that_is_named_as_a_server_is_refused(cluster: ValkeyCluster) -> None:
    node = cluster.primaries()[0]
    with pytest.raises(UnsuitableServerError, match="belongs to a cluster"):
        RedisNodes(f"redis://:p%40ss%20word@127.0.0.1:{node.port}/0").check_versions()
