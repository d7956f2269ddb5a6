"""Fixtures of running systems and JavaScript clients; a failed test shows the end of the systems' logs."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.apidocs.asyncapi import EVENTS
from tests.support import documents
from tests.support.js_client import JsClient
from tests.support.stack import Stack, StackMaker

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
    """A running system with the embedded servers, shared by the whole test run: do not break it."""
    system = Stack(tmp_path_factory.mktemp("stack"))
    _running.append(system)
    with system:
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


@pytest.fixture
def js() -> Iterator[JsClient]:
    """A Node process for Socket.IO clients; the events they received are validated against AsyncAPI."""
    client = JsClient()
    yield client
    client.close()
    for event in client.all_events()[:MAX_VALIDATED_EVENTS]:
        if event.name in EVENTS:
            documents.validate_event(event.payload)
