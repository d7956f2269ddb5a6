"""A client's driver: an executable that shows the client's behaviour in lines of JSON (README.md)."""

import json
import os
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from clients.conformance.forked import ForkedProcess
from clients.conformance.script import Record
from tests.support.machine_speed import patience

STDERR_CHARACTERS = 4000
Message = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """How to start a driver, and what it can do. `environment` makes what it needs besides the case's variables.

    With `module` the driver is that module's `main`, in a fork.
    """

    name: str
    argv: Sequence[str]
    roles: Sequence[str] = ("room", "agent")
    transports: Sequence[str] = ("socketio", "sse")
    environment: Callable[[], dict[str, str]] = dict
    module: str = ""

    def start(self, environment: dict[str, str], stderr: IO[str]) -> "subprocess.Popen[str] | ForkedProcess":
        environment = os.environ | self.environment() | environment
        if self.module:
            return ForkedProcess(self.module, environment, stderr)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr}
        return subprocess.Popen(list(self.argv), **pipes, text=True, encoding="utf-8", env=environment)

    def can_play(self, role: str, transport: str) -> bool:
        return role in self.roles and (role == "agent" or transport in self.transports)


class Driver:
    """A running driver; its lines are noted in the record: `messages` has all, or the last `keep` of them."""

    def __init__(
        self,
        command: Command,
        environment: dict[str, str],
        record: Record,
        *,
        keep: int | None = None,
        on_message: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self._record, self._on_message = record, on_message
        self.messages: deque[Message] = deque(maxlen=keep)
        self.latest: dict[str, Message] = {}  # by type
        self.faults: list[str] = []
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed in close
        self._process = command.start(environment, self._stderr)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                self.faults.append(f"a line of stdout is not JSON: {line[:200]!r}")
                continue
            self._record.note(lambda message=message: self._note(message))
        self._record.note()

    def _note(self, message: Message) -> None:
        self.messages.append(message)
        self.latest[str(message.get("type"))] = message
        self._on_message(message)

    def send(self, command: str, **members: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **members}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.faults.append(f"the driver ended before the command {command!r}")

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def of(self, kind: str) -> list[Message]:
        return [each for each in list(self.messages) if each.get("type") == kind]

    @property
    def status(self) -> str | None:
        return self.latest.get("status", {}).get("status")

    @property
    def state(self) -> dict[str, Any] | None:
        return self.latest.get("state", {}).get("state")

    def close(self) -> int | None:
        """Send `close` and wait for the end; returns the exit code, or None if it had to be killed."""
        if not self.has_ended:
            self.send("close")
        try:
            return self._process.wait(patience(30))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> str:
        """End the process if it runs, and return the end of its stderr."""
        self._process.kill()
        self._process.wait()
        self._reader.join(patience(5))
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()
        self._stderr.seek(0)
        text = self._stderr.read()[-STDERR_CHARACTERS:]
        self._stderr.close()
        return text
