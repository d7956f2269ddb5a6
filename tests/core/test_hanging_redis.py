"""While Redis hangs, committed changes are still answered in time."""

import os
import secrets
import signal
import time

import pytest

from app.config import load_config
from app.realtime import outbox
from tests.support import databases, servers
from tests.support.api import Api, InProcess
from tests.support.apps import make_app
from tests.support.machine_speed import slowdown
from tests.support.money import confirmed, funded_protocol, pool
from tests.support.processes import until

SOON_SECONDS = 3.0


@pytest.fixture
def hanging(tmp_path, sqlite_url):
    """`hanging()` stops the Redis of an app of the test's own; `hanging(goes_on=True)` lets it go on."""
    server = servers.start_valkey(tmp_path)

    def turn(*, goes_on=False):
        os.kill(server.process.pid, signal.SIGCONT if goes_on else signal.SIGSTOP)

    environment = databases.environment(
        home=tmp_path, database_url=sqlite_url, redis_url=server.url(1), signing_key=secrets.token_hex(32)
    )
    with make_app(load_config(environment)) as app:
        yield Api(InProcess(app), environment["DASHBOARD_SIGNING_KEY"]), turn
        turn(goes_on=True)
    servers.stop_server(server)


def test_money_moves_while_redis_hangs_and_its_events_follow_later(hanging, caplog):
    api, turn = hanging
    protocol_id = funded_protocol(api)
    path = confirmed(api, protocol_id, "10.00")
    turn()
    took = []
    for where, body in (
        (f"/protocols/{protocol_id}/deposits", {"amount": "1"}),
        (f"{path}/payment", {"recipient": "r"}),
    ):
        for _ in range(2):
            started = time.monotonic()
            api.owner.post(where, body)
            took.append(time.monotonic() - started)
    assert max(took) < SOON_SECONDS * slowdown()
    assert {"event.emission_failed", "payment.enqueue_failed"} <= {each.getMessage() for each in caplog.records}
    assert pool(api, protocol_id)["total"] == "1002.00"

    turn(goes_on=True)
    with api.transport.client.application.app_context():  # the silence is remembered for a second
        assert until(outbox.sweep, 10, "the sweep relays what waited") == 3  # two deposits, one payment
