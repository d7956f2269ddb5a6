"""Which state of the database statements see while others write."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from app.config import load_config
from app.core.database import consistent_read, transaction
from app.core.extensions import db
from app.core.values import parse_amount
from app.protocols.service import get_pool
from app.vulnerabilities.queries import MAX_OPEN_SHOWN
from tests.factories import file_vulnerability
from tests.support import databases
from tests.support.api import Api, InProcess
from tests.support.apps import make_app
from tests.support.money import at_once, funded_protocol, own_api, pool

DEFAULTS = ("repeatable read", "serializable")


@pytest.fixture(params=DEFAULTS)
def strict(request, postgres, postgres_url, redis_url, tmp_path) -> Iterator[Callable[[], Api]]:
    """An app on a database whose operator has set another default level."""
    name = postgres_url.rpartition("/")[2]
    postgres.run(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{request.param}'")
    environment = databases.environment(
        home=tmp_path, database_url=postgres_url, redis_url=redis_url, signing_key="0123456789abcdef" * 4
    )
    settings = load_config(environment)
    with make_app(settings) as app:
        yield lambda: Api(InProcess(app), settings.signing_key)


def test_concurrent_writers_wait_for_each_other_under_any_default_isolation(strict):
    api = strict()
    protocol_id = funded_protocol(api, "1000.00")
    body = {"title": "Race", "severity": "HIGH", "bounty": "10.00"}
    path = f"/protocols/{protocol_id}/vulnerabilities"
    statuses = at_once(10, [lambda: strict().validator.post(path, body).status] * 20)
    assert statuses == [201] * 20
    assert pool(api, protocol_id)["reserved"] == "200.00"


STATES, STATISTICS = 25, 60  # reads, of which every third and every tenth is torn without an isolation
BOUNTY = "10.00"


@contextmanager
def deciding(app: Flask, settings: Any, protocol_id: str) -> Iterator[None]:
    """While it lasts two callers file vulnerabilities with bounties, and reject every second one."""
    ends = threading.Event()

    def decide() -> None:
        api, rejects = own_api(app, settings), False
        while not ends.is_set():
            filed = file_vulnerability(api, protocol_id, bounty=BOUNTY)
            if rejects:
                api.validator.post(f"/vulnerabilities/{filed['id']}/reject", {"reason": "race"}).expect(200)
            rejects = not rejects

    threads = [threading.Thread(target=decide, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join(20)


def held(pool_part: dict[str, Any]) -> int:
    """How many bounties the pool holds."""
    return parse_amount(pool_part["reserved"]) // parse_amount(BOUNTY) if pool_part["reserved"] != "0.00" else 0


def test_all_sections_of_a_state_are_of_one_moment(app, settings, api):
    protocol_id, torn = funded_protocol(api, "1000000.00"), []
    with deciding(app, settings, protocol_id):
        for _ in range(STATES):
            state = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)
            found = state["vulnerabilities"]
            told = (len(found["open"]), int(found["counts"]["byStatus"]["PENDING"]), held(state["pool"]))
            torn += [told] if len(set(told)) > 1 and told[0] < MAX_OPEN_SHOWN else []
    assert torn == []


def test_all_statistics_are_of_one_moment(app, settings, api):
    protocol_id, torn = funded_protocol(api, "1000000.00"), []
    with deciding(app, settings, protocol_id):
        for _ in range(STATISTICS):
            stats = api.viewer.get(f"/stats?protocolId={protocol_id}").expect(200)
            told = (int(stats["vulnerabilities"]["byStatus"]["PENDING"]), held(stats["bountyPool"]))
            torn += [told] if len(set(told)) > 1 else []
    assert torn == []


def test_a_consistent_read_sees_no_later_change_and_the_next_transaction_can_write(app, api):
    protocol_id = funded_protocol(api)
    with app.app_context():
        with consistent_read():
            found = get_pool(protocol_id)
        assert found.total_minor == parse_amount("1000.00")
        assert found not in db.session
        with transaction() as session:
            session.execute(text("UPDATE bounty_pools SET currency = 'DAI'"))
            if session.get_bind().dialect.name == "postgresql":
                assert session.scalar(text("SHOW transaction_isolation")) == "read committed"
    assert pool(api, protocol_id)["currency"] == "DAI"
