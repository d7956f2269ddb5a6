"""What all steps of cases use: the scripted server, the driver, and waiting with patience."""

import time
from collections.abc import Callable
from typing import Any

from clients.conformance.driver import Driver
from clients.conformance.room import Event
from clients.conformance.server import ScriptedServer
from tests.support.machine_speed import patience

WAIT_SECONDS = 60


class Failed(AssertionError):
    """The client did not do what the case demands."""


class StepsBase:
    """`start_driver` is called by the step `start`; `may_rewind`: the case lets versions go back."""

    def __init__(self, server: ScriptedServer, start_driver: Callable[[], Driver]) -> None:
        self.server, self._start_driver = server, start_driver
        self.may_rewind = False
        self._started: Driver | None = None
        self._kept: list[Event] = []
        self._sent: list[Event] = []
        self._commands = 0
        self._started_at = self._commanded_at = time.monotonic()

    @property
    def driver(self) -> Driver:
        if self._started is None:
            raise Failed("the client is not started")
        return self._started

    def step_start(self) -> None:
        """Start the client; without this step it is started before the first one."""
        self._started_at = time.monotonic()
        self._started = self._start_driver()

    def play(self, name: str, argument: Any) -> None:
        step = getattr(self, f"step_{name}", None)
        if step is None:
            raise Failed(f"there is no step {name!r}")
        step() if argument is None else step(argument)

    def _wait(self, condition: Callable[[], Any], claim: Callable[[], str]) -> None:
        """Wait for a condition; fail early if the driver has ended."""
        limit = patience(WAIT_SECONDS)
        self.server.record.wait(lambda: condition() or self.driver.has_ended, limit)
        if not condition():
            reason = "the driver has ended" if self.driver.has_ended else f"not within {limit:.0f} s"
            raise Failed(f"{reason}: {claim()}")
