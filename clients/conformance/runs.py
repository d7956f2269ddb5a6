"""All cases that a driver can play, several at a time: they spend most of their time waiting."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from clients.conformance.case import Case, load
from clients.conformance.driver import Command
from clients.conformance.play import Outcome, play

AT_A_TIME = 8


@dataclass(frozen=True)
class Run:
    """One case for one driver over one transport."""

    command: Command
    case: Case
    transport: str

    def __str__(self) -> str:
        transport = "" if self.case.role == "agent" else f"-{self.transport}"
        return f"{self.command.name}{transport}-{self.case.name}"

    def play(self) -> Outcome:
        return play(self.case, self.command, self.transport)


def runs_of(command: Command, cases: Iterable[Case] | None = None) -> Iterator[Run]:
    """The cases for this driver, each over each transport that both know."""
    for case in load() if cases is None else cases:
        transports = ("http",) if case.role == "agent" else case.transports
        for transport in transports:
            if command.can_play(case.role, transport):
                yield Run(command, case, transport)


class Pool:
    """`with Pool() as pool:` plays cases side by side."""

    def __init__(self, at_a_time: int = AT_A_TIME) -> None:
        self._threads = ThreadPoolExecutor(at_a_time, "conformance")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def submit(self, run: Run) -> "Future[Outcome]":
        return self._threads.submit(run.play)
