"""A slow identity provider delays no caller for longer than the time limit of a fetch."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.auth import keys as auth_keys
from app.auth.keys import ProviderKeys
from app.core.errors import DependencyUnavailable
from tests.support.machine_speed import patience
from tests.support.processes import until
from tests.support.stack import ROOT

BEGINNINGS = {"headers": b"HTTP/1.1 200 OK\r\nX-Long: ", "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"}
PAUSE_SECONDS, MAX_DRIP_SECONDS = 0.05, 20


class DrippingProvider:
    """Sends a beginning, then a byte now and then until it is cut off, at the latest after 20 s."""

    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/jwks.json"
        self.accepted, self.dripped_seconds = 0, []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self.accepted += 1
                threading.Thread(target=self._drip, args=(caller,), daemon=True).start()

    def _drip(self, caller: socket.socket) -> None:
        began = time.monotonic()
        with caller, contextlib.suppress(OSError):
            caller.sendall(self._beginning)
            while time.monotonic() - began < MAX_DRIP_SECONDS:
                caller.sendall(b" ")
                time.sleep(PAUSE_SECONDS)
        self.dripped_seconds.append(time.monotonic() - began)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(params=BEGINNINGS)
def provider(request: pytest.FixtureRequest) -> Iterator[DrippingProvider]:
    made = DrippingProvider(BEGINNINGS[request.param])
    yield made
    made.stop()


def seconds_until_refused(keys: ProviderKeys) -> float:
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable):
        keys.candidates("rsa", "RS256")
    return time.monotonic() - began


def test_a_fetch_ends_within_its_time_limit_even_if_the_response_is_slow(
    provider: DrippingProvider, monkeypatch
) -> None:
    monkeypatch.setattr(auth_keys, "FETCH_SECONDS", 0.5)

    assert seconds_until_refused(ProviderKeys(provider.url)) < MAX_DRIP_SECONDS
    until(lambda: provider.dripped_seconds, 3, "the connection is cut off")
    assert provider.dripped_seconds[0] < MAX_DRIP_SECONDS


def test_concurrent_callers_share_one_fetch_and_its_outcome(provider: DrippingProvider, monkeypatch) -> None:
    monkeypatch.setattr(auth_keys, "FETCH_SECONDS", 0.5)
    keys = ProviderKeys(provider.url)

    with ThreadPoolExecutor(8) as callers:
        waited = list(callers.map(seconds_until_refused, [keys] * 8))

    assert max(waited) < MAX_DRIP_SECONDS
    assert provider.accepted == 1


IN_A_WEB_PROCESS = """
from app.core import runtime
runtime.patch()
import sys, time
from app.auth import keys as auth_keys
from app.auth.keys import ProviderKeys
from app.core.errors import DependencyUnavailable
auth_keys.FETCH_SECONDS = 0.5
keys, waited = ProviderKeys(sys.argv[1]), []
def ask():
    began = time.monotonic()
    try:
        keys.candidates("rsa", "RS256")
    except DependencyUnavailable:
        waited.append(time.monotonic() - began)
asked = [runtime.spawn(ask) for _ in range(4)]
for each in asked:
    each.wait()
runtime.sleep(0.2)  # the cut comes at the same moment as the end of the wait
print(len(waited), max(waited))
"""


def test_concurrent_green_threads_share_one_fetch_and_its_outcome(provider: DrippingProvider) -> None:
    command = [sys.executable, "-c", IN_A_WEB_PROCESS, provider.url]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(60))

    callers, longest = ended.stdout.split()[-2:]
    assert (callers, provider.accepted) == ("4", 1), ended
    assert float(longest) < MAX_DRIP_SECONDS
    until(lambda: provider.dripped_seconds, 3, "the connection is cut off")
    assert provider.dripped_seconds[0] < MAX_DRIP_SECONDS
