"""Fixtures of the security tests."""

from collections.abc import Iterator

import pytest

from tests.security.raw_websocket import open_files
from tests.support.processes import until
from tests.support.stack import Stack

SPARE_FILES = 6  # pooled connections that the process may open during a test and keep


@pytest.fixture
def no_leaks(stack: Stack) -> Iterator[None]:
    """After the test the web process holds no more open files than before."""
    before = open_files(stack.pid("web-1"))
    yield
    until(lambda: open_files(stack.pid("web-1")) <= before + SPARE_FILES, 20, "the files are closed")
