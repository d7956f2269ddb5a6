"""Which state of the database a statement sees, on PostgreSQL, whose sessions have more to choose from than SQLite's."""

from collections.abc import Iterator

import pytest

from app.config import load_config
from tests.support import databases
from tests.support.api import Api, InProcess
from tests.support.apps import make_app
from tests.support.money import at_once, funded_protocol, pool

DEFAULTS = ("repeatable read", "serializable")


@pytest.fixture(params=DEFAULTS)
def strict(request, postgres, postgres_url, redis_url, tmp_path) -> Iterator:
    """An app on a database whose operator has set another default level."""
    name = postgres_url.rpartition("/")[2]
    postgres.run(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{request.param}'")
    environment = databases.environment(
        home=tmp_path, database_url=postgres_url, redis_url=redis_url, signing_key="0123456789abcdef" * 4
    )
    settings = load_config(environment)
    with make_app(settings) as app:
        yield lambda: Api(InProcess(app), settings.signing_key)


def test_whatever_the_server_s_default_callers_at_once_wait_for_each_other(strict):
    api = strict()
    protocol_id = funded_protocol(api, "1000.00")
    body = {"title": "Race", "severity": "HIGH", "bounty": "10.00"}
    path = f"/protocols/{protocol_id}/vulnerabilities"
    statuses = at_once(10, [lambda: strict().validator.post(path, body).status] * 20)
    assert statuses == [201] * 20
    assert pool(api, protocol_id)["reserved"] == "200.00"
