"""Rooms in a real Valkey Cluster: a primary that is killed, slots that move and a new node break no promise."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.realtime.redis_keys import PARTITION_SLOTS, partition_of
from tests.cli.commands import run_doctor
from tests.cluster.conftest import ClusterScene
from tests.factories import deposit
from tests.faults.fault_mix_checks import assert_accepted_changes_are_kept, assert_limits_held
from tests.faults.fault_mix_load import Load
from tests.scenarios.every_event import emit_every_event
from tests.support.event_stream import StreamReader
from tests.support.js_client import JsClient
from tests.support.processes import until

LOADS = 3
RIGHT_SECONDS = 5.0
CHANGES = 15  # accepted before a block, and again after it
KINDS = {"deposit", "completion", "payment"}


@contextmanager
def load(scene: ClusterScene) -> Iterator[None]:
    """Send changes while the block runs; then every client is right, nothing is lost, and no limit was exceeded."""
    loads = [Load(scene.stack.api, scene.agents, seed) for seed in range(LOADS)]
    with scene.cluster.emissions() as seen:
        for each in loads:
            each.start()
        wait_for_changes(loads)
        yield
        wait_for_changes(loads)
        until(lambda: {change.kind for each in loads for change in each.accepted} >= KINDS, 30, "of every kind")
        for each in loads:
            each.stop()
        scene.rooms.wait_until_right(RIGHT_SECONDS)
    assert len({each.protocol_id for each in seen.seen}) > len(scene.agents) // 2
    assert_limits_held(seen, {0.0})
    assert_accepted_changes_are_kept(scene.stack.api.admin, [change for each in loads for change in each.accepted])


def wait_for_changes(loads: list[Load]) -> None:
    """Until enough further changes were accepted."""
    known = sum(len(each.accepted) for each in loads)
    until(lambda: sum(len(each.accepted) for each in loads) - known >= CHANGES, 30, "further changes are accepted")


def errors(scene: ClusterScene, *kinds: str) -> float:
    return sum(scene.stack.metric("dashboard_rooms_redis_errors_total", kind=kind) for kind in kinds)


def test_every_event_of_agents_pools_findings_and_payments_arrives(scene: ClusterScene, js: JsClient) -> None:
    protocol_id = next(iter(scene.agents))
    events = emit_every_event(scene.stack, js, protocol_id)
    seqs = [int(event.payload["seq"]) for event in events]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    api = scene.stack.api
    assert api.admin.get("/overview").expect(200)["items"]
    assert api.admin.get(f"/stats?protocolId={protocol_id}").expect(200)["agents"]["online"]
    ready = api.with_token(None).get("//readyz").expect(200)
    assert ready["parts"]["roomsRedis"] == "ok"
    assert "cluster of 127.0.0.1" in run_doctor(scene.stack.environment).stdout


def test_only_the_clients_of_a_slot_that_moved_resync(scene: ClusterScene, js: JsClient) -> None:
    source, target, third = scene.cluster.primaries()
    moved, stayed = scene.rooms_on(source)[0], scene.rooms_on(third)[0]
    api, port = scene.stack.api, scene.stack.port
    viewers = {each: scene.stack.watch(js, each) for each in (moved, stayed)}
    streams = {each: StreamReader(port, each, api.token("viewer", protocols=[each])) for each in (moved, stayed)}
    assert {stream.next().name for stream in streams.values()} == {"state"}

    scene.cluster.move([PARTITION_SLOTS[partition_of(moved)]], target)
    viewers[moved].wait_for(lambda event: event.name == "$disconnect", claim="the client has to reconnect")
    assert streams[moved].next().name == "state"
    deposit(api, stayed, "7")

    assert viewers[stayed].wait_for_event("bounty_pool:updated", amount="7.00")
    assert viewers[stayed].events("$disconnect") == []
    assert streams[stayed].next().name == "bounty_pool:updated"
    scene.rooms.wait_until_right()


def test_slots_that_move_under_load_break_nothing(scene: ClusterScene) -> None:
    source, target, _ = scene.cluster.primaries()
    slots = scene.slots_of(source)
    with load(scene):
        scene.cluster.move(slots, target)
    assert scene.slots_of(source) == []
    assert errors(scene, "moved") > 0


def test_a_node_that_is_added_under_load_takes_rooms_over(scene: ClusterScene) -> None:
    with load(scene):
        node = scene.cluster.add_node()
        slots = [scene.slots_of(primary)[0] for primary in scene.cluster.primaries() if scene.slots_of(primary)]
        waits = errors(scene, "try_again")
        scene.cluster.move_at_once(slots, node)
    assert scene.rooms_on(node)
    assert errors(scene, "try_again") == waits, "no script has to wait"


def test_a_primary_that_is_killed_under_load_loses_nothing(scene: ClusterScene) -> None:
    killed = max(scene.cluster.primaries()[:3], key=lambda node: len(scene.rooms_on(node)))
    rooms = scene.rooms_on(killed)
    assert rooms
    with load(scene):
        scene.cluster.fail_over(killed)
    assert errors(scene, "connection") > 0
    killed.start()
    until(lambda: not killed.is_primary(), 30, "the killed primary has become a replica")
