"""Fixtures of running systems and JavaScript clients; a failed test shows the end of the systems' logs."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.apidocs.asyncapi import EVENTS
from tests.support import databases, documents, servers
from tests.support.js_client import JsClient
from tests.support.stack import Stack, StackMaker, WebProcess

_running: list[Stack] = []
SHOWN_CHARACTERS = 8_000
MAX_VALIDATED_EVENTS = 500


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for stack in _running:
            if stack.log:
                report.sections.append((f"log of {stack.log_path}", stack.log[-SHOWN_CHARACTERS:]))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running system with the embedded servers, shared by the whole test run: do not break it.

    It has made its signing key itself.
    """
    system = Stack(tmp_path_factory.mktemp("stack"))
    del system.environment["DASHBOARD_SIGNING_KEY"]
    _running.append(system)
    with system:
        system.signing_key = (system.home / "signing.key").read_text(encoding="utf-8").strip()
        yield system
    _running.remove(system)


@pytest.fixture
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackMaker]:
    """`make_stack(webs=2, home=…, PAYOUT_URL=…)`: a system for one test, which may break it."""
    yield from _make_stacks(tmp_path_factory)


@pytest.fixture(scope="module")
def make_shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackMaker]:
    """As `make_stack`, for a system shared by the tests of one file; each must leave it working."""
    yield from _make_stacks(tmp_path_factory)


def _make_stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackMaker]:
    made: list[Stack] = []
    numbers = itertools.count(1)

    def make(*, webs: int = 1, home: Path | None = None, **overrides: str) -> Stack:
        folder = tmp_path_factory.mktemp(f"own-stack-{next(numbers)}")
        made.append(Stack(folder, webs=webs, home=home, **overrides))
        _running.append(made[-1])
        return made[-1].start()

    yield make
    for system in reversed(made):
        system.stop()
        _running.remove(system)


@pytest.fixture(scope="module")
def make_web(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[StackMaker]:
    """`make_web(DASHBOARD_HANDSHAKE_SECONDS="2")`: a web process without workers and beat, with a Redis of its own."""
    with ExitStack() as made:

        def make(**overrides: str) -> Stack:
            folder = tmp_path_factory.mktemp("web")
            redis = servers.start_valkey(folder)
            made.callback(servers.stop_server, redis)
            own = {"DATABASE_URL": databases.copy_sqlite(sqlite_template, folder), "REDIS_URL": redis.url()}
            web = WebProcess(folder, **(own | overrides))
            _running.append(web)
            made.callback(_running.remove, web)
            return made.enter_context(web)

        yield make


@pytest.fixture
def js() -> Iterator[JsClient]:
    with js_client() as client:
        yield client


@contextmanager
def js_client() -> Iterator[JsClient]:
    """A Node process for Socket.IO clients; the events they received are validated against AsyncAPI."""
    client = JsClient()
    yield client
    client.close()
    for event in client.all_events()[:MAX_VALIDATED_EVENTS]:
        if event.name in EVENTS:
            documents.validate_event(event.payload)
