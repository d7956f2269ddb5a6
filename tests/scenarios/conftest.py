"""What the scenarios share: the running system, a protocol and agent of their own, and a browser's connection."""

import pytest

from tests.support.js_client import JsClient, JsSocket
from tests.support.stack import Stack


@pytest.fixture
def viewer(stack: Stack, js: JsClient, protocol_id: str) -> JsSocket:
    """A connected viewer in the protocol's room."""
    return stack.watch(js, protocol_id)
