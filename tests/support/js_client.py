"""Socket.IO clients of the official JavaScript kind, as Python objects."""

import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.machine_speed import patience
from tests.support.node import SOURCES, client_modules, node_binary
from tests.support.processes import TimedOutError

DEFAULT_SECONDS = 10.0


@dataclass(frozen=True)
class Event:
    """Something a client received; `at` is epoch seconds on the client's clock. Own news begin with `$`."""

    name: str
    args: list[Any]
    at: float

    @property
    def payload(self) -> Any:
        return self.args[0]

    @property
    def data(self) -> Any:
        return self.args[0]["data"]


class RefusedError(AssertionError):
    """The server refused the connection: `message` and `data` of the client's connect_error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"connect_error: {error}")
        self.message = error["message"]
        self.data = error["data"]


class JsClient:
    """One node process that holds any number of sockets."""

    def __init__(self) -> None:
        environment = os.environ | {"CLIENT_MODULES": str(client_modules())}
        self._process = subprocess.Popen(
            [node_binary(), str(SOURCES / "client.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._ids = itertools.count(1)
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._sockets: dict[str, JsSocket] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def connect(self, url: str, auth: Any = None, **options: Any) -> "JsSocket":
        """Open a socket, by default with WebSocket only and no reconnection. Raises RefusedError."""
        return self.connect_all(url, 1, auth, **options)[0]

    def connect_all(self, url: str, count: int, auth: Any = None, **options: Any) -> "list[JsSocket]":
        """As `connect`, for many sockets at the same time."""
        made = [JsSocket(self, f"s{next(self._ids)}") for _ in range(count)]
        self._sockets |= {socket.name: socket for socket in made}
        options = {"transports": ["websocket"], "auth": auth or {}} | options
        for answer in self.call_all("connect", made, url=url, options=options):
            if not answer["ok"]:
                raise RefusedError(answer["error"])
        return made

    def emit_all(self, sockets: "list[JsSocket]", event: str, *args: Any, timeout: float = 20.0) -> list[Any]:
        """Emit on all sockets at the same time; returns the acks in their order."""
        answers = self.call_all("emit", sockets, event=event, args=args, timeout=patience(timeout) * 1000)
        return [answer["ack"] for answer in answers]

    def call_all(self, op: str, sockets: "list[JsSocket]", **fields: Any) -> list[dict[str, Any]]:
        numbers = [self._ask(op, socket.name, fields) for socket in sockets]
        return [self._answer(op, number, patience(3 * DEFAULT_SECONDS)) for number in numbers]

    def call(self, op: str, socket: str, *, seconds: float = DEFAULT_SECONDS, **fields: Any) -> dict[str, Any]:
        return self._answer(op, self._ask(op, socket, fields), seconds)

    def _ask(self, op: str, socket: str, fields: dict[str, Any]) -> int:
        number = next(self._ids)
        self._process.stdin.write(json.dumps({"id": number, "op": op, "socket": socket} | fields) + "\n")
        self._process.stdin.flush()
        return number

    def _answer(self, op: str, number: int, seconds: float) -> dict[str, Any]:
        return self.wait(lambda: self._answers.pop(number, None), seconds, f"the client answers to {op}")

    def wait(self, condition: Callable[[], Any], seconds: float, claim: str) -> Any:
        """Return the first true result of `condition`, evaluated whenever something arrives."""
        began = time.monotonic()
        with self._changed:
            while not (answer := condition()):
                waited = time.monotonic() - began
                if not self._changed.wait(max(0.1, seconds - waited)) and waited > patience(seconds):
                    raise TimedOutError(f"not within {waited:.0f} s: {claim}")
        return answer

    def all_events(self) -> list[Event]:
        """The events that all sockets of this process received."""
        return [event for socket in self._sockets.values() for event in socket.events()]

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def forget_sockets(self) -> None:
        """Disconnect all sockets; the process goes on without them."""
        self.call_all("forget", list(self._sockets.values()))
        self._sockets.clear()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(patience(10))

    def _read(self) -> None:
        for line in self._process.stdout:
            message = json.loads(line)
            with self._changed:
                if "id" in message:
                    self._answers[message["id"]] = message
                elif socket := self._sockets.get(message["socket"]):
                    socket.received.append(Event(message["event"], message["args"], message["at"] / 1000))
                self._changed.notify_all()


@dataclass
class JsSocket:
    client: JsClient
    name: str
    received: list[Event] = field(default_factory=list)

    def emit(self, event: str, *args: Any, timeout: float = 5.0) -> Any:
        """Emit and return the server's ack. Raises TimedOutError if there is none."""
        limit = patience(timeout)
        answer = self.client.call("emit", self.name, seconds=2 * limit, event=event, args=args, timeout=limit * 1000)
        if not answer["ok"]:
            raise TimedOutError(f"no ack to {event}: {answer['error']}")
        return answer["ack"]

    def send(self, event: str, *args: Any) -> None:
        """Emit without requesting an ack."""
        self.client.call("send", self.name, event=event, args=args)

    def join(self, protocol_id: str) -> dict[str, Any]:
        """Join a protocol's room; returns the ack after checking its success."""
        ack = self.emit("protocol:join", {"protocolId": protocol_id})
        assert ack["ok"], ack
        return ack

    def leave(self) -> None:
        ack = self.emit("protocol:leave")
        assert ack["ok"], ack

    def disconnect(self) -> None:
        self.client.call("disconnect", self.name)

    def reconnect(self, auth: Any = None) -> None:
        answer = self.client.call("reconnect", self.name, auth=auth)
        if not answer["ok"]:
            raise RefusedError(answer["error"])

    def cut(self) -> None:
        """Break the TCP connection without a close frame."""
        self.client.call("cut", self.name)

    def pause(self) -> None:
        """Stop reading from the TCP connection."""
        self.client.call("pause", self.name)

    def resume(self) -> None:
        self.client.call("resume", self.name)

    @property
    def state(self) -> dict[str, Any]:
        return self.client.call("state", self.name)

    def events(self, name: str | None = None) -> list[Event]:
        """The received events in order of arrival; with `name` only events of that name."""
        return [e for e in list(self.received) if (e.name == name if name else not e.name.startswith("$"))]

    def wait_for(
        self,
        predicate: Callable[[Event], Any],
        timeout: float = DEFAULT_SECONDS,
        claim: str = "the event arrives",
    ) -> Event:
        """The first received or future event that matches, including the client's own, such as `$disconnect`."""
        found = self.client.wait(
            lambda: [e for e in self.received if predicate(e)],
            timeout,
            f"{claim}; received: {self.received[-20:]}",
        )
        return found[0]

    def wait_for_event(self, name: str, timeout: float = DEFAULT_SECONDS, **data: Any) -> Event:
        """The first event `name` whose data has these members."""

        def fits(event: Event) -> bool:
            return event.name == name and all(event.data.get(key) == value for key, value in data.items())

        return self.wait_for(fits, timeout, f"{name} with {data}")

    def wait_until_count(self, count: int, timeout: float = DEFAULT_SECONDS, name: str | None = None) -> list[Event]:
        """All events of the server, as soon as there are `count`."""
        self.client.wait(lambda: len(self.events(name)) >= count, timeout, f"{count} events {name or ''}")
        return self.events(name)
