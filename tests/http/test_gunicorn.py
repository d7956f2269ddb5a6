"""REST runs under a threaded server with several processes: `gunicorn -k gthread "app.factory:create_app()"`."""

import os
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.factories import make_protocol
from tests.support import databases, servers
from tests.support.api import Api, OverHttp
from tests.support.machine_speed import patience
from tests.support.processes import free_port, start, stop
from tests.support.redis_clock import age_memory

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LIMIT = 40
SECONDS = 2
PAUSE = 0.05  # after a refusal, in which no bucket fills up


@pytest.fixture(scope="module")
def served(valkey: servers.Valkey, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API of two processes, which the tests of this file share."""
    folder, key = tmp_path_factory.mktemp("gunicorn"), secrets.token_hex(32)
    with valkey.client() as client:
        client.flushdb()
        age_memory(client)
    environment = databases.environment(
        home=folder,
        database_url=databases.copy_sqlite(sqlite_template, folder),
        redis_url=valkey.url(),
        signing_key=key,
        DASHBOARD_REST_PER_TOKEN=str(LIMIT),
        PATH=os.environ["PATH"],
        HOME=str(folder),
    )
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "--workers", "2", "--threads", "4"]
    command += ["--bind", address, "--keep-alive", "0", "--no-control-socket", "app.factory:create_app()"]
    server = start(command, log=folder / "gunicorn.log", env=environment, cwd=ROOT)
    try:
        wait_until_ready(f"http://{address}", folder / "gunicorn.log")
        yield Api(OverHttp(f"http://{address}"), key)
    finally:
        stop(server)


@pytest.fixture
def url(served: Api) -> str:
    return served.transport.url


def wait_until_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + patience(60)
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/readyz", timeout=patience(5)).ok:
                return
        except (requests.ConnectionError, requests.Timeout):  # bound, but its processes have not started yet
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_gunicorn_serves_rest_and_revocations_reach_both_processes(served: Api) -> None:
    protocol_id = make_protocol(served)
    caller = served.as_("viewer", protocols=[protocol_id], jti="lost")
    caller.get(f"/protocols/{protocol_id}/state").expect(200)

    served.admin.post("/tokens/revoke", {"jti": "lost", "reason": "test"}).expect(201)

    deadline = time.monotonic() + patience(10)
    while (statuses := {caller.get(f"/protocols/{protocol_id}").status for _ in range(10)}) != {401}:
        assert time.monotonic() < deadline, statuses


def test_gunicorn_answers_socket_io_with_a_problem(url: str) -> None:
    for query in ("EIO=4&transport=polling", "EIO=4&transport=websocket"):
        answer = requests.get(f"{url}/socket.io/?{query}", timeout=10)

        assert (answer.status_code, answer.json()["code"]) == (501, "NOT_IMPLEMENTED")
        assert "dashboard web" in answer.json()["detail"]


def test_gunicorn_issues_tickets_and_answers_streams_with_a_problem(url: str, served: Api) -> None:
    protocol_id = make_protocol(served)
    ticket = served.viewer.post(f"/protocols/{protocol_id}/stream-tickets").expect(201)["ticket"]
    answer = requests.get(f"{url}/api/v1/protocols/{protocol_id}/events?ticket={ticket}", timeout=10)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (501, "NOT_IMPLEMENTED")


def test_gunicorn_processes_share_a_tokens_limit(url: str, served: Api) -> None:
    headers = {"Authorization": f"Bearer {served.token('viewer')}"}
    end = time.monotonic() + SECONDS

    def call_until_end(_: int) -> int:
        accepted = 0
        while time.monotonic() < end:
            is_accepted = requests.get(f"{url}/api/v1/protocols", headers=headers, timeout=30).ok
            accepted += is_accepted
            time.sleep(0 if is_accepted else PAUSE)
        return accepted

    with ThreadPoolExecutor(4) as pool:
        accepted = sum(pool.map(call_until_end, range(4)))

    unshared = 2 * LIMIT * (SECONDS + 1)
    assert accepted < 0.8 * unshared
