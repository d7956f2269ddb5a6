"""Many reference clients of the page in one Node process, compared with `/state`."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.support.node import client_modules, node_binary
from tests.support.processes import until
from tests.support.stack import Stack

SCRIPT = Path(__file__).resolve().parents[1] / "js" / "rooms.mjs"


class Rooms:
    """`with Rooms(stack, {"P1": 10, "P2": 5}) as rooms:` this many live clients in each room."""

    def __init__(self, stack: Stack, clients: dict[str, int]) -> None:
        self._total = sum(clients.values())
        tokens = {protocol: stack.api.token("viewer", protocols=[protocol]) for protocol in clients}
        each = [{"protocolId": name, "token": tokens[name]} for name, count in clients.items() for _ in range(count)]
        self._process = subprocess.Popen(
            [node_binary(), str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"CLIENT_MODULES": str(client_modules())},
        )
        self._send(json.dumps({"url": stack.url, "clients": each}))

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def ask(self, command: str) -> dict[str, Any]:
        self._send(command)
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def wait_until_live(self, seconds: float = 60) -> None:
        until(lambda: self.ask("count")["live"] == self._total, seconds, f"{self._total} clients are live", pause=0.2)

    def wait_until_right(self, seconds: float = 30) -> dict[str, Any]:
        """Wait until every client equals `/state`; returns the last comparison."""
        last: dict[str, Any] = {}

        def right() -> bool:
            last.update(self.ask("compare"))
            return last["wrong"] == 0

        try:
            until(right, seconds, "every client equals the state", pause=0.5)
        except AssertionError as error:
            raise AssertionError(f"{last['wrong']} of {self._total} clients are wrong: {last['example']}") from error
        return last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
