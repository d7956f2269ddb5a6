"""The TypeScript example follows docs/clients.md: it recovers from every loss and every transient error."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from app.realtime.redis_keys import room_key
from tests.factories import deposit, make_protocol
from tests.support import typescript
from tests.support.machine_speed import patience
from tests.support.node import node_binary
from tests.support.processes import start, stop, until
from tests.support.stack import Stack, StackMaker
from tests.support.state_gate import StateGate

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def main() -> Path:
    return typescript.compiled_once()


class Shown:
    """What the example printed."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def wait_for(self, live: bool, available: str | None, seconds: float = 15) -> None:
        """Wait until this is what it shows now."""

        def shown() -> bool:
            now = self.lines()[-1:] or [{}]
            return (now[0].get("live"), now[0].get("available")) == (live, available)

        until(shown, seconds, f"it shows live={live}, available={available}: {self._log}")


@contextmanager
def watching(stack: Stack, main: Path, url: str, protocol_id: str, log: Path, *, token: str = "") -> Iterator[Shown]:
    given = token or stack.api.token("viewer", protocols=[protocol_id])
    environment = os.environ | {"DASHBOARD_URL": url, "DASHBOARD_TOKEN": given}
    process = start([node_binary(), str(main), protocol_id], log=log, env=environment)
    try:
        yield Shown(log)
    finally:
        stop(process)


def test_a_gap_noticed_during_a_fetch_causes_another_fetch(
    stack: Stack, protocol_id: str, main: Path, tmp_path: Path
) -> None:
    with StateGate(stack.port) as gate:
        gate.open.clear()
        with watching(stack, main, gate.url, protocol_id, tmp_path / "log") as shown:
            until(lambda: gate.answered == 1, 15, "the first state is on its way")
            stack.redis().hincrby(room_key(protocol_id, "state"), "seq")  # an event that this client never hears of
            deposit(stack.api, protocol_id, "5")
            shown.wait_for(live=False, available="5.00")
            gate.open.set()
            until(lambda: gate.answered == 2, 5, "the state is fetched again")
            shown.wait_for(live=True, available="5.00")


def test_a_transiently_rejected_snapshot_is_retried_with_backoff(
    stack: Stack, protocol_id: str, main: Path, tmp_path: Path
) -> None:
    with StateGate(stack.port) as gate:
        gate.refusals = 3
        with watching(stack, main, gate.url, protocol_id, tmp_path / "log") as shown:
            shown.wait_for(live=True, available="0.00")

        pauses = [later - earlier for earlier, later in pairwise(gate.asked)]
        assert [pause > least for pause, least in zip(pauses, (0.25, 0.5, 1.0), strict=True)] == [True] * 3


def test_the_client_reconnects_after_the_server_disconnected_it(
    make_web: StackMaker, main: Path, tmp_path: Path
) -> None:
    stack = make_web()
    protocol_id = make_protocol(stack.api)
    with watching(stack, main, stack.url, protocol_id, tmp_path / "log") as shown:
        shown.wait_for(live=True, available="0.00")
        stack.signal("web-1", signal.SIGTERM)
        shown.wait_for(live=False, available="0.00")
        stack.process.wait(patience(30))
        stack.start()
        deposit(stack.api, protocol_id, "7")
        shown.wait_for(live=True, available="7.00", seconds=30)


def test_the_client_fetches_the_snapshot_regularly_without_events(
    stack: Stack, protocol_id: str, tmp_path: Path
) -> None:
    impatient = typescript.edited(tmp_path, "20_000", "300")
    with (
        StateGate(stack.port) as gate,
        watching(stack, impatient, gate.url, protocol_id, tmp_path / "log") as shown,
    ):
        shown.wait_for(live=True, available="0.00")
        until(lambda: gate.answered >= 3, 10, "the state is fetched again and again")


def test_a_rejected_token_ends_the_client_with_the_reason(
    stack: Stack, protocol_id: str, main: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with watching(stack, main, stack.url, protocol_id, log, token="no token at all"):
        until(lambda: "UNAUTHORIZED" in log.read_text(), 15, "it says why it ends")
