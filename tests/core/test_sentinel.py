"""Redis behind Sentinel: the system finds the primary, and the next one when the first is gone."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from app.config import load_config
from app.core.redis_connection import connect_redis
from tests.cli.commands import call_command, run_doctor, verdicts
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support import servers
from tests.support.js_client import JsClient
from tests.support.machine_speed import patience, slowdown
from tests.support.processes import free_port, start, stop, until
from tests.support.stack import COMMAND, Stack, StackMaker

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
    """A primary, its replica and three sentinels; servers and sentinels may each want a password."""

    primary: servers.Valkey
    replica: servers.Valkey
    ports: list[int]
    password: str = ""
    sentinel_password: str = ""

    @property
    def url(self) -> str:
        return self.url_with(self.password)

    def url_with(self, password: str) -> str:
        login = f":{quote(password, safe='')}@" if password else ""
        return f"sentinel://{login}{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{SERVICE}/1"

    def ask(self, port: int, *command: str) -> Any:
        with redis.Redis(port=port, password=self.sentinel_password or None) as sentinel:
            return sentinel.execute_command("SENTINEL", *command, SERVICE)

    def primary_port(self) -> int:
        return int(self.ask(self.ports[0], "GET-MASTER-ADDR-BY-NAME")[1])

    def protect(self) -> None:
        """From here on servers let in only who knows the password; `masterauth` is for who follows."""
        for server in (self.primary, self.replica):
            with server.client() as client:
                client.config_set("masterauth", self.password)
                client.config_set("requirepass", self.password)

    def configuration(self, port: int) -> str:
        lines = [CONFIGURATION.format(port=port, service=SERVICE, primary=self.primary.port)]
        if self.password:
            lines.append(f'sentinel auth-pass {SERVICE} "{self.password}"\n')
        if self.sentinel_password:
            lines.append(f'requirepass "{self.sentinel_password}"\n')
        return "".join(lines)

    def knows_all(self, port: int) -> bool:
        try:
            state = self.ask(port, "MASTER")
        except redis.RedisError:
            return False
        flat = state if isinstance(state, dict) else dict(zip(state[::2], state[1::2], strict=True))
        fields = {bytes(key).decode() if isinstance(key, bytes) else key: value for key, value in flat.items()}
        return int(fields["num-other-sentinels"]) == SENTINELS - 1 and int(fields["num-slaves"]) == 1


@contextmanager
def a_group(tmp_path: Path, password: str = "", sentinel_password: str = "") -> Iterator[Group]:
    folders = [tmp_path / name for name in ("primary", "replica")]
    for folder in folders:
        folder.mkdir()
    primary, replica = (servers.start_valkey(folder) for folder in folders)
    with replica.client() as client:
        client.replicaof("127.0.0.1", primary.port)
        until(lambda: client.info("replication")["master_link_status"] == "up", 10, "the replica follows")
    group = Group(primary, replica, [free_port() for _ in range(SENTINELS)], password, sentinel_password)
    if password:
        group.protect()
    sentinels = []
    for number, port in enumerate(group.ports):
        file = tmp_path / f"sentinel-{number}.conf"
        file.write_text(group.configuration(port), encoding="utf-8")
        argv = [str(servers.get_binary_path()), str(file), "--sentinel"]
        sentinels.append(start(argv, log=tmp_path / f"sentinel-{number}.log"))
    try:
        until(lambda: all(group.knows_all(port) for port in group.ports), 20, "the sentinels know each other")
        yield group
    finally:
        for process in sentinels:
            stop(process)
        for server in (primary, replica):
            servers.stop_server(server)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    with a_group(tmp_path) as made:
        yield made


@pytest.fixture
def guarded_group(tmp_path: Path) -> Iterator[Group]:
    with a_group(tmp_path, password="d@ta:n/des%1", sentinel_password="s€ntinels own") as made:
        yield made


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


def test_a_group_without_passwords_serves_as_redis_and_as_broker(group: Group, settings: dict[str, str]) -> None:
    found = verdicts(call_command("doctor", environment=settings | {"REDIS_URL": group.url}))
    assert (found["redis"], found["redis writes"], found["broker"]) == ("ok", "ok", "ok")


def test_the_system_follows_to_the_next_primary_with_passwords_all_the_way(
    guarded_group: Group, make_stack: StackMaker, js: JsClient, tmp_path: Path
) -> None:
    group, file = guarded_group, tmp_path / "sentinel-password"
    file.write_text(group.sentinel_password + "\n", encoding="utf-8")
    stack = make_stack(REDIS_URL=group.url, REDIS_SENTINEL_PASSWORD_FILE=str(file), DASHBOARD_LOG_LEVEL="DEBUG")
    a_report_and_a_payment_reach_the_room(stack, js)
    with redis.Redis(port=group.replica.port, password=group.password, db=1) as client:
        assert client.keys("d3:*:room:*")
        assert client.get("beat:tick"), "beat and worker use the database of the URL"
    assert not (stack.home / "run" / "redis.pid").exists()
    found = verdicts(run_doctor(stack.environment))
    assert (found["broker"], found["beat"]) == ("ok", "ok")

    stop(group.primary.process, sign=9)
    until(lambda: group.primary_port() == group.replica.port, 20, "the replica is the primary")
    lost_at = time.monotonic()

    def ready() -> bool:
        return stack.api.with_token(None).get("//readyz").status == 200

    until(ready, 20, "the system is ready on the new primary", pause=0.2)
    until(lambda: works(stack, js), 40, "reports and payments reach the room again", pause=0.5)
    assert time.monotonic() - lost_at < 60 * slowdown()
    assert shows_none_of_the_passwords(group, stack.log)


def test_doctor_reports_wrong_passwords_without_showing_them(guarded_group: Group, settings: dict[str, str]) -> None:
    group = guarded_group
    settings = settings | {"REDIS_SENTINEL_PASSWORD": group.sentinel_password}

    for wrong in ({"REDIS_URL": group.url_with("wr0ng/word")}, {"REDIS_SENTINEL_PASSWORD": "wr0ng/word"}):
        began = time.monotonic()
        told = doctor({"REDIS_URL": group.url, **settings, **wrong})
        assert "FAIL redis" in told
        assert "wr0ng" not in told
        assert shows_none_of_the_passwords(group, told)
        assert time.monotonic() - began < 20 * slowdown(), "a sentinel that refuses is not asked again and again"
    with pytest.raises(redis.RedisError) as error:
        connect_redis(load_config(settings | {"REDIS_URL": group.url_with("wr0ng/word")}).redis_url).ping()
    assert "wr0ng" not in repr(error.value)


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    key = "0123456789abcdef" * 4
    return {"DATABASE_URL": sqlite_url, "DASHBOARD_SIGNING_KEY": key, "DASHBOARD_HOME": str(tmp_path / "home")}


def doctor(environment: dict[str, str]) -> str:
    done = subprocess.run(
        [*COMMAND, "doctor"], env=os.environ | environment, capture_output=True, text=True, timeout=patience(60)
    )
    return done.stdout + done.stderr


def shows_none_of_the_passwords(group: Group, text: str) -> bool:
    words = [word for plain in (group.password, group.sentinel_password) for word in (plain, quote(plain, safe=""))]
    return not any(word in text for word in words)


def works(stack: Stack, js: JsClient) -> bool:
    try:
        a_report_and_a_payment_reach_the_room(stack, js)
    except AssertionError:
        return False
    return True
