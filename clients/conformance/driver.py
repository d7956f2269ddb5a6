"""A client's driver: an executable that shows the client's behaviour in lines of JSON (README.md)."""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clients.conformance.script import Record
from tests.support.machine_speed import patience

STDERR_CHARACTERS = 4000
Message = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """How to start a driver, and what it can do."""

    name: str
    argv: Sequence[str]
    roles: Sequence[str] = ("room", "agent")
    transports: Sequence[str] = ("socketio", "sse")
    environment: dict[str, str] = field(default_factory=dict)

    def can_play(self, role: str, transport: str) -> bool:
        return role in self.roles and (role == "agent" or transport in self.transports)


class Driver:
    """A running driver; `messages` are its lines, each of which is noted in the record."""

    def __init__(self, command: Command, environment: dict[str, str], record: Record) -> None:
        self._record = record
        self.messages: list[Message] = []
        self.faults: list[str] = []
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed in close
        self._process = subprocess.Popen(
            list(command.argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env=os.environ | command.environment | environment,
        )
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
            self._record.note(lambda message=message: self.messages.append(message))
        self._record.note()

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
        found = self.of("status")
        return found[-1]["status"] if found else None

    @property
    def state(self) -> dict[str, Any] | None:
        found = self.of("state")
        return found[-1]["state"] if found else None

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
