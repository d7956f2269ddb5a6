"""The accept loop, in a process of its own because it needs the patched runtime."""

import subprocess
import sys

from tests.support.stack import ROOT

CROWD = """
import app.core.runtime as runtime
runtime.patch()
import socket
from flask import Flask
from app.http.server import serving

listener = runtime.listen("127.0.0.1", 0)
clients = [socket.create_connection(listener.getsockname()) for _ in range(200)]
server = serving._Server(Flask("test"), listener, 1000)
runtime.spawn(server.accept_forever)
turns = []
while len(server._connections) < len(clients):
    runtime.sleep(0)
    turns.append(len(server._connections))
print(max(after - before for before, after in zip([0, *turns], turns)))
"""


def test_a_crowd_that_connects_at_once_leaves_turns_to_others() -> None:
    run = [sys.executable, "-c", CROWD]
    found = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert 1 <= int(found.stdout) <= 32, "accepted in one turn of the loop"
