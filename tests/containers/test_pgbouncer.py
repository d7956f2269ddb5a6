"""The system behind PgBouncer in transaction mode, as docs/deployment.md describes it."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.containers.tools import NoEngineError, fetch_pgbouncer
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support import databases
from tests.support.processes import until
from tests.support.servers import Postgres, free_port
from tests.support.stack import StackMaker

CONNECTIONS = 5  # far fewer than the application opens
DEPOSITS = 200
CONFIGURATION = """
[databases]
{database} = host=127.0.0.1 port={server_port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
"""


@pytest.fixture
def pooled_url(postgres: Postgres, postgres_template: str, tmp_path: Path) -> Iterator[str]:
    try:
        program, libraries = fetch_pgbouncer()
    except NoEngineError as error:
        pytest.fail(f"no PgBouncer: {error}")
    with databases.copy_postgres(postgres, postgres_template) as url:
        database, port = url.rpartition("/")[2], free_port()
        text = CONFIGURATION.format(database=database, server_port=postgres.port, port=port, connections=CONNECTIONS)
        environment = os.environ | {"LD_LIBRARY_PATH": str(libraries)}
        with TemporaryDirectory() as folder, (tmp_path / "pgbouncer.log").open("wb") as log:
            Path(folder).chmod(0o755)  # it refuses root, and another user cannot read the test's folder
            configuration = Path(folder) / "pgbouncer.ini"
            configuration.write_text(text, encoding="ascii")
            command = [str(program), str(configuration)]
            with subprocess.Popen(command, stdout=log, stderr=log, env=environment, user="nobody") as pooler:
                try:
                    until(lambda: b"process up" in (tmp_path / "pgbouncer.log").read_bytes(), 20, "PgBouncer")
                    yield f"postgresql://postgres@127.0.0.1:{port}/{database}"
                finally:
                    pooler.kill()


def test_money_is_exact_behind_pgbouncer_in_transaction_mode(pooled_url: str, make_stack: StackMaker) -> None:
    stack = make_stack(DATABASE_URL=pooled_url, DATABASE_POOLER="1")
    api = stack.api
    protocol_id = make_protocol(api)
    vulnerability_id = _confirmed(stack, protocol_id)

    with ThreadPoolExecutor(16) as callers:
        list(callers.map(lambda _: deposit(api, protocol_id, "1"), range(DEPOSITS)))
    payment = api.owner.post(f"/vulnerabilities/{vulnerability_id}/payment", {"recipient": "0xabc"}).expect(202)
    until(lambda: api.owner.get(f"/payments/{payment['id']}").expect(200)["status"] == "RELEASED", 60, "the payment")

    pool = api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)
    assert (pool["total"], pool["paid"], pool["available"]) == (f"{DEPOSITS + 10}.00", "10.00", f"{DEPOSITS}.00")
    stack.stop()


def _confirmed(stack, protocol_id: str) -> str:
    deposit(stack.api, protocol_id, "10")
    vulnerability_id = file_vulnerability(stack.api, protocol_id, bounty="10")["id"]
    stack.api.validator.post(f"/vulnerabilities/{vulnerability_id}/confirm", {}).expect(200)
    return str(vulnerability_id)
