"""Redis behind Sentinel: the system finds the primary, and the next one when the first is gone."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support import servers
from tests.support.js_client import JsClient
from tests.support.processes import free_port, start, stop, until
from tests.support.stack import Stack, StackMaker

SERVICE = "dashboard"
SENTINELS = 3
CONFIGURATION = """\
port {port}
bind 127.0.0.1
sentinel monitor {service} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 3000
"""


@dataclass
class Group:
    """A primary, its replica and three sentinels."""

    primary: servers.Valkey
    replica: servers.Valkey
    ports: list[int]

    @property
    def url(self) -> str:
        return f"sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{SERVICE}/1"

    def primary_port(self) -> int:
        with redis.Redis(port=self.ports[0]) as sentinel:
            return int(sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    folders = [tmp_path / name for name in ("primary", "replica")]
    for folder in folders:
        folder.mkdir()
    primary, replica = (servers.start_valkey(folder) for folder in folders)
    with replica.client() as client:
        client.replicaof("127.0.0.1", primary.port)
        until(lambda: client.info("replication")["master_link_status"] == "up", 10, "the replica follows")
    sentinels, ports = [], [free_port() for _ in range(SENTINELS)]
    for number, port in enumerate(ports):
        file = tmp_path / f"sentinel-{number}.conf"
        file.write_text(CONFIGURATION.format(port=port, service=SERVICE, primary=primary.port), encoding="utf-8")
        argv = [str(servers.get_binary_path()), str(file), "--sentinel"]
        sentinels.append(start(argv, log=tmp_path / f"sentinel-{number}.log"))
    try:
        until(lambda: all(_knows_the_others(port) for port in ports), 20, "the sentinels know each other")
        yield Group(primary, replica, ports)
    finally:
        for process in sentinels:
            stop(process)
        for server in (primary, replica):
            servers.stop_server(server)


def _knows_the_others(port: int) -> bool:
    try:
        with redis.Redis(port=port) as sentinel:
            state = sentinel.execute_command("SENTINEL", "MASTER", SERVICE)
    except redis.RedisError:
        return False
    flat = state if isinstance(state, dict) else dict(zip(state[::2], state[1::2], strict=True))
    fields = {bytes(key).decode() if isinstance(key, bytes) else key: value for key, value in flat.items()}
    return int(fields["num-other-sentinels"]) == SENTINELS - 1 and int(fields["num-slaves"]) == 1


def a_report_and_a_payment_reach_the_room(stack: Stack, js: JsClient) -> None:
    api, protocol_id, agent_id = stack.api, make_protocol(stack.api), make_agent(stack.api)
    browser = stack.watch(js, protocol_id)
    deposit(api, protocol_id, "10.00")
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)
    vulnerability = file_vulnerability(api, protocol_id, bounty="4.00")
    api.validator.post(f"/vulnerabilities/{vulnerability['id']}/confirm", {}).expect(200)
    api.owner.post(f"/vulnerabilities/{vulnerability['id']}/payment", {"recipient": "0xabc"}).expect(202)
    browser.wait_for_event("agent:task_update", agentId=agent_id, timeout=20)
    browser.wait_for_event("vuln:status_changed", newStatus="PAID", timeout=20)


def test_the_whole_system_works_through_sentinel(group: Group, make_stack: StackMaker, js: JsClient) -> None:
    stack = make_stack(REDIS_URL=group.url)

    a_report_and_a_payment_reach_the_room(stack, js)

    with group.replica.client(1) as client:
        assert client.keys("room:*")


def test_the_system_follows_to_the_next_primary(group: Group, make_stack: StackMaker, js: JsClient) -> None:
    stack = make_stack(REDIS_URL=group.url)
    a_report_and_a_payment_reach_the_room(stack, js)

    stop(group.primary.process, sign=9)
    until(lambda: group.primary_port() == group.replica.port, 20, "the replica is the primary")
    lost_at = time.monotonic()

    def ready() -> bool:
        return stack.api.with_token(None).get("//readyz").status == 200

    until(ready, 20, "the system is ready on the new primary", pause=0.2)
    until(lambda: works(stack, js), 40, "reports and payments reach the room again", pause=0.5)
    assert time.monotonic() - lost_at < 60


def works(stack: Stack, js: JsClient) -> bool:
    try:
        a_report_and_a_payment_reach_the_room(stack, js)
    except AssertionError:
        return False
    return True
