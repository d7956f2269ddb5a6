"""Whose a websocket is: an Engine.IO connection; its methods are called by the hub and must not block."""

from typing import Protocol


class Owner(Protocol):
    def message_received(self, opcode: int, payload: str | bytes) -> None: ...

    def connection_ended(self, reason: str) -> None: ...


class _Nobody:
    """The owner of a closed websocket: a circle of two would wait for the collector, with all that was received."""

    def message_received(self, opcode: int, payload: str | bytes) -> None: ...

    def connection_ended(self, reason: str) -> None: ...


NOBODY: Owner = _Nobody()
