"""The way back from the own fan-out works: python-socketio's own manager with stock Engine.IO connections."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import deposit, make_protocol
from tests.support.api import Api, OverHttp
from tests.support.databases import environment
from tests.support.js_client import JsClient
from tests.support.processes import free_port, is_open, start, stop, until
from tests.support.stack import ROOT

KEY = "0123456789abcdef" * 4
STOCK_WEB = """
import functools, sys
from app.core import runtime
runtime.patch()
from app.config import load_config
from app.factory import create_app
from app.http.server import connection, serving
from app.sockets import handlers
handlers.init_app = functools.partial(handlers.init_app, stock_fanout=True)
connection.REQUEST_SECONDS, serving.SWEEP_SECONDS = 1.0, 0.2
app = create_app(load_config(), serve_sockets=True)
serving.serve(app, runtime.listen("127.0.0.1", int(sys.argv[1])), grace_seconds=1.0)
"""
CHECK_EMIT = """
from app.core import runtime
runtime.patch()
from app.realtime.fanout.manager import StockManager
from app.realtime.scripts import scripts_at
url = "redis://127.0.0.1:1/0"
StockManager(url, scripts_at(url)).emit("bounty_pool:updated", {}, room="protocol:P1")
"""


@pytest.fixture
def web(sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[Api]:
    settings = environment(home=tmp_path, database_url=sqlite_url, redis_url=redis_url, signing_key=KEY)
    port = free_port()
    command = [sys.executable, "-c", STOCK_WEB, str(port)]
    process = start(command, log=tmp_path / "web.log", env={**os.environ, **settings, "PYTHONPATH": str(ROOT)})
    until(lambda: is_open(port), 90, f"web listens; its log is in {tmp_path}")
    yield Api(OverHttp(f"http://127.0.0.1:{port}"), KEY)
    stop(process)


def test_on_the_stock_fanout_a_client_connects_joins_and_receives_an_event(web: Api, js: JsClient) -> None:
    protocol_id = make_protocol(web)
    viewer = js.connect(web.transport.url, {"token": web.token("viewer")})

    viewer.join(protocol_id)
    time.sleep(1.5)  # longer than a request may take
    deposit(web, protocol_id, "1")

    assert viewer.wait_for_event("bounty_pool:updated").payload["seq"] == "1"


def test_the_stock_fanout_also_emits_to_protocol_rooms_through_the_limiter_only() -> None:
    result = subprocess.run(
        [sys.executable, "-c", CHECK_EMIT], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert "Only the room limiter emits to 'protocol:P1'." in result.stderr
