"""A receiver of webhooks on loopback whose endpoints answer as a script says, and that keeps what it received."""

import asyncio
import itertools
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
HANG_SECONDS = 60.0
DRIP_SECONDS = 0.2


@dataclass(frozen=True)
class Received:
    endpoint: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


def status(code: int, *headers: str, body: bytes = b"") -> Answer:
    lines = [f"HTTP/1.1 {code} Status", f"Content-Length: {len(body)}", "Connection: close", *headers]
    response = "\r\n".join([*lines, "", ""]).encode() + body

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        await writer.drain()

    return answer


OK = status(204)


async def hang(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(HANG_SECONDS)


async def drip(writer: asyncio.StreamWriter) -> None:
    """A header that never ends, byte by byte."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(int(HANG_SECONDS / DRIP_SECONDS)):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)


async def flood(writer: asyncio.StreamWriter) -> None:
    """Success, with a body that does not end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass
class Receiver:
    """`script("a", status(500), OK)`: the URL of endpoint `a`, whose last answer is that to all further requests."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    _scripts: dict[str, Iterator[Answer]] = field(default_factory=dict)

    def script(self, endpoint: str, *answers: Answer) -> str:
        self._scripts[endpoint] = itertools.chain(answers[:-1], itertools.repeat(answers[-1]))
        return f"{self.url}/{endpoint}"

    def of(self, endpoint: str) -> list[Received]:
        return [each for each in list(self.received) if each.endpoint == endpoint]

    def ids(self) -> dict[str, set[str]]:
        """The ids that each endpoint got."""
        found: dict[str, set[str]] = defaultdict(set)
        for each in list(self.received):
            found[each.endpoint].add(each.id)
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            endpoint = first.split(" ")[1].strip("/").partition("?")[0]
            self.received.append(Received(endpoint, headers, body, time.time()))
            await next(self._scripts.get(endpoint, itertools.repeat(OK)))(writer)
        with suppress(OSError):
            writer.close()


@contextmanager
def webhook_receiver(certificate: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Receiver]:
    receiver, loop, ready = Receiver(), asyncio.new_event_loop(), threading.Event()

    async def start() -> None:
        server = await asyncio.start_server(receiver.serve, host, 0, ssl=certificate, backlog=500)
        receiver.url = f"http{'s' if certificate else ''}://{host}:{server.sockets[0].getsockname()[1]}"
        ready.set()

    def run() -> None:
        loop.create_task(start())
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
