"""A thousand clients ask for `/state` at once, as after an overflow or a restart: few snapshots, and none is stale."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple, Self

import pytest

from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support import databases
from tests.support.api import BASE
from tests.support.coroutines import run_in_thread
from tests.support.servers import Postgres
from tests.support.stack import Stack, StackMaker

CLIENTS, SOME_CLIENTS = 1000, 300
FEW = CLIENTS // 20  # about five: the process yields while it asks Redis and the database, and starts new snapshots
GROUPS = 5
SECTION = b"SELECT bounty_pools.protocol_id"  # asked once for each snapshot, and by nothing else in these tests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Reply(NamedTuple):
    """`known`: the pool's version that had been committed before the question was sent."""

    status: int
    headers: dict[str, str]
    body: bytes
    known: int

    @property
    def pool_version(self) -> int:
        return int(json.loads(self.body)["pool"]["version"])


class Depositor(threading.Thread):
    """Deposits one after the other while the `with` lasts; `version` is the newest that the server has answered."""

    def __init__(self, stack: Stack, protocol_id: str) -> None:
        super().__init__(daemon=True)
        self._api, self._protocol_id, self.version, self._ends = stack.api, protocol_id, 0, threading.Event()

    def run(self) -> None:
        while not self._ends.is_set():
            self.version = int(deposit(self._api, self._protocol_id, "1")["pool"]["version"])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self.join(60)


@pytest.fixture(scope="module")
def system(postgres: Postgres, postgres_template: str, make_web: StackMaker) -> Iterator[Stack]:
    """On PostgreSQL that writes every statement of this database to its log."""
    with databases.copy_postgres(postgres, postgres_template) as url:
        postgres.run(f"ALTER DATABASE \"{url.rpartition('/')[2]}\" SET log_statement = 'all'")
        web = make_web(DATABASE_URL=url)
        yield web
        web.stop()


@pytest.fixture
def protocol_id(system: Stack) -> str:
    made = make_protocol(system.api)
    deposit(system.api, made, "100")
    for _ in range(20):
        file_vulnerability(system.api, made)
    return made


def snapshots(postgres: Postgres) -> int:
    """How many snapshots were made from the database since its server runs."""
    return (postgres.folder / "postgres.log").read_bytes().count(SECTION)


def stampede(
    system: Stack, protocol_id: str, count: int = CLIENTS, depositor: Depositor | None = None, **headers: str
) -> list[Reply]:
    """Clients with tokens of their own connect, then ask at once: the process is stopped until all have.

    Beside a depositor it goes on, and they ask in five groups, each after one more deposit than the one before.
    """

    async def all_at_once() -> list[Reply]:
        gate = asyncio.get_running_loop().create_future()
        connected, asked = asyncio.Semaphore(0), asyncio.Semaphore(0)

        async def ask(number: int, token: str) -> Reply:
            reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
            writer.write(b"HEAD /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")  # then the process has accepted the connection
            connected.release()
            first = await gate
            while depositor and depositor.version < first + number * GROUPS // count:  # noqa: ASYNC110 - by a thread
                await asyncio.sleep(0.01)
            known = depositor.version if depositor else 0
            lines = {"Host": "test", "Authorization": f"Bearer {token}", "Connection": "close", **headers}
            head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
            writer.write(f"GET {BASE}/protocols/{protocol_id}/state HTTP/1.1\r\n{head}\r\n".encode())
            asked.release()
            reply = _parsed(await reader.read(), known)
            writer.close()
            return reply

        tokens = [system.api.token("viewer", sub=f"v{number}") for number in range(count)]
        asking = [asyncio.create_task(ask(*each)) for each in enumerate(tokens)]
        await _times(count, connected)
        with nullcontext() if depositor else _frozen(system):
            gate.set_result(depositor.version if depositor else 0)
            await _times(count, asked)
        return await asyncio.gather(*asking)

    return run_in_thread(all_at_once())


async def _times(number: int, released: asyncio.Semaphore) -> None:
    for _ in range(number):
        await released.acquire()


@contextmanager
def _frozen(system: Stack) -> Iterator[None]:
    system.freeze("web-1")
    try:
        yield
    finally:
        system.thaw("web-1")


def _parsed(answer: bytes, known: int) -> Reply:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Reply(int(first.split(" ")[1]), headers, body, known)


def test_a_thousand_concurrent_requests_share_few_snapshots(system, postgres, protocol_id) -> None:
    before = snapshots(postgres)
    replies = stampede(system, protocol_id)

    made = snapshots(postgres) - before
    assert [reply for reply in replies if reply.status != 200] == []
    assert {reply.pool_version for reply in replies} == {replies[0].pool_version}
    assert 1 <= made <= FEW


def test_a_client_with_the_newest_state_gets_a_304(system, postgres, protocol_id) -> None:
    tag = system.api.viewer.get(f"/protocols/{protocol_id}/state").headers["etag"]
    before = snapshots(postgres)
    replies = stampede(system, protocol_id, SOME_CLIENTS, If_None_Match=tag)

    assert {(reply.status, reply.body) for reply in replies} == {(304, b"")}
    assert {reply.headers["etag"] for reply in replies} == {tag}
    assert snapshots(postgres) - before <= FEW  # none, unless a minute passes meanwhile


def test_no_response_is_older_than_its_request_while_the_state_changes(system, protocol_id) -> None:
    with Depositor(system, protocol_id) as depositor:
        replies = stampede(system, protocol_id, SOME_CLIENTS, depositor)

    assert [reply for reply in replies if reply.status != 200] == []
    assert all(reply.pool_version >= reply.known for reply in replies)
    assert len({reply.known for reply in replies}) > 1, "nothing changed while they asked"


def test_a_restarted_process_answers_a_thousand_concurrent_requests(system, postgres, protocol_id) -> None:
    newest = int(deposit(system.api, protocol_id, "1")["pool"]["version"])
    system.kill("web-1")
    system.start()
    before = snapshots(postgres)
    replies = stampede(system, protocol_id)

    assert {(reply.status, reply.pool_version) for reply in replies} == {(200, newest)}
    assert 1 <= snapshots(postgres) - before <= FEW
