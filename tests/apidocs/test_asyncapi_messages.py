"""Every message of the AsyncAPI document has an example, and refusals have one for each code."""

import re
from typing import Any

import pytest

from app.apidocs import asyncapi
from app.core.dependency_errors import DatabaseUnavailable
from tests.support import documents
from tests.support.js_client import JsClient
from tests.support.node import ROOT
from tests.support.stack import Stack

RAISED_BY = (
    "sockets/handlers",
    "sockets/connections",
    "auth/tokens",
    "auth/revocation",
    "auth/keys",
)


@pytest.fixture(scope="module")
def messages() -> dict[str, Any]:
    return asyncapi.document()["components"]["messages"]


def test_every_message_has_an_example(messages: dict[str, Any]) -> None:
    assert [key for key, message in messages.items() if not message.get("examples")] == []


def test_every_event_describes_its_seq(messages: dict[str, Any]) -> None:
    events = [message for message in messages.values() if message["name"] in asyncapi.EVENTS]
    assert len(events) == len(asyncapi.EVENTS)
    assert all("own number in its room" in each["description"] for each in events)


def test_every_code_that_refuses_a_client_has_an_example(messages: dict[str, Any]) -> None:
    texts = [(ROOT / "app" / f"{name}.py").read_text(encoding="utf-8") for name in RAISED_BY]
    raised = {code for text in texts for code in re.findall(r'(?:code=|Refused\(|_refusal\()"([A-Z_]+)"', text)}
    raised |= {DatabaseUnavailable.code for text in texts if "raise DatabaseUnavailable" in text}
    shown = {example["payload"]["error"]["code"] for example in messages["refused"]["examples"]}
    shown |= {example["payload"]["code"] for example in messages["connectError"]["examples"]}

    assert {"INVALID_PROTOCOL", "DATABASE_UNAVAILABLE", "INTERNAL_ERROR"} <= raised
    assert raised <= shown


@pytest.mark.slow
def test_the_server_accepts_the_example_for_leaving_a_room(
    stack: Stack, js: JsClient, protocol_id: str, messages: dict[str, Any]
) -> None:
    socket = js.connect(stack.url, {"token": stack.api.token("viewer", protocols=[protocol_id])})
    socket.emit("protocol:join", {"protocolId": protocol_id})

    shown = messages["protocolLeave"]["examples"][0]["payload"]

    documents.validate_ack("protocol:leave", socket.emit("protocol:leave", shown))
