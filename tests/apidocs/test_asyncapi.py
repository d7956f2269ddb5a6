"""The AsyncAPI document is valid and describes what the server sends."""

import re
from typing import Any

import pytest
from jsonschema import Draft7Validator

from app.apidocs import asyncapi
from app.apidocs.asyncapi import EVENTS
from app.realtime.events import EventType
from tests.factories import deposit, file_vulnerability, make_agent, report
from tests.support import document_tools, documents
from tests.support.js_client import JsClient, RefusedError
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi.document()


def examples_of(document: dict[str, Any], event_type: str) -> dict[str, Any]:
    """The payloads of an event's examples by name."""
    (message,) = (each for each in document["components"]["messages"].values() if each["name"] == event_type)
    return {each["name"]: each["payload"] for each in message["examples"]}


def test_the_document_is_valid_asyncapi_3_0(document: dict[str, Any]) -> None:
    faults = list(Draft7Validator(document_tools.asyncapi_schema()).iter_errors(document))

    assert [fault.json_path + ": " + fault.message[:300] for fault in faults] == []


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            found = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return found + [each for value in node.values() for each in references(value)]
        return [each for value in node for each in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert len(found) > 30
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_event_type_of_the_code_is_a_message_with_valid_examples(document: dict[str, Any]) -> None:
    assert set(EVENTS) == set(EventType)
    for name in EVENTS:
        for event in examples_of(document, name).values():
            documents.validate_event(event)


def test_the_examples_of_every_message_are_valid(document: dict[str, Any]) -> None:
    for message in document["components"]["messages"].values():
        for example in message.get("examples", ()):
            documents.validate_message(message["payload"]["$ref"].rpartition("/")[2], example["payload"])


def numbers(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [each for member in value.values() for each in numbers(member)]
    if isinstance(value, list):
        return [each for member in value for each in numbers(member)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def test_an_event_with_a_number_in_it_is_not_as_documented(document: dict[str, Any]) -> None:
    event = examples_of(document, "agent:task_update")["progress"]

    for member, wrong in (("progress", 65), ("version", 1), ("progress", "065"), ("extra", "x")):
        with pytest.raises(documents.NotAsDocumentedError):
            documents.validate_event(event | {"data": event["data"] | {member: wrong}})


def test_a_paid_vulnerability_without_its_amount_is_not_as_documented(document: dict[str, Any]) -> None:
    event = examples_of(document, "vuln:status_changed")["paid"]
    less = {name: value for name, value in event["data"].items() if name != "paymentAmount"}

    with pytest.raises(documents.NotAsDocumentedError):
        documents.validate_event(event | {"data": less})


def test_every_event_that_clients_send_or_receive_is_a_message(document: dict[str, Any]) -> None:
    sources = [document_tools.ROOT / "app" / "sockets" / f"{name}.py" for name in ("handlers", "sessions")]
    names = {name for source in sources for name in re.findall(r'"((?:protocol|session):\w+)"', source.read_text())}

    assert {"protocol:join", "session:expired"} <= names
    assert names <= {message["name"] for message in document["components"]["messages"].values()}


@pytest.mark.slow
def test_all_events_of_a_bounty_from_deposit_to_payment_are_as_documented(
    stack: Stack, js: JsClient, protocol_id: str
) -> None:
    api = stack.api
    agent_id = make_agent(api)
    socket = stack.watch(js, protocol_id)
    batched = js.connect(stack.url, {"token": api.token("viewer", protocols=[protocol_id])})
    documents.validate_ack(
        "protocol:join", batched.emit("protocol:join", {"protocolId": protocol_id, "agentBatches": True})
    )

    deposit(api, protocol_id, "1000", reference="tx-1")
    agent = api.agent(agent_id)
    for each in (
        report(protocol_id, progress=12.5, estimatedCompletion="2030-01-01T00:00:00+01:00"),
        report(protocol_id, status="COMPLETED", nextTask="fuzzing"),
        report(protocol_id, "fuzzing", status="FAILED", error={"message": "no memory"}),
    ):
        agent.post(f"/agents/{agent_id}/progress", each).expect(202)
    paid, refused = (file_vulnerability(api, protocol_id, bounty=amount)["id"] for amount in ("100", "50"))
    api.validator.post(f"/vulnerabilities/{paid}/confirm", {}).expect(200)
    api.validator.post(f"/vulnerabilities/{refused}/reject", {"reason": "duplicate"}).expect(200)
    api.owner.post(f"/vulnerabilities/{paid}/payment", {"recipient": "0xabc", "amount": "80"}).expect(202)
    socket.wait_for_event("vuln:status_changed", 20, newStatus="PAID")
    socket.wait_for_event("agent:task_update", 20, status="FAILED")

    received = [*socket.events(), *batched.events()]
    assert {event.name for event in socket.events()} == {
        "agent:task_update", "bounty_pool:updated", "vuln:discovered", "vuln:status_changed", "payment:status_changed"
    }  # fmt: skip
    for event in received:
        assert event.name == event.payload["eventType"]
        documents.validate_event(event.payload)
        assert numbers(event.payload) == []


@pytest.mark.slow
def test_acknowledgements_and_refusals_are_as_documented(stack: Stack, js: JsClient, protocol_id: str) -> None:
    socket = js.connect(stack.url, {"token": stack.api.token("viewer", protocols=[protocol_id])})

    for event, message in (
        ("protocol:join", {"protocolId": protocol_id}),
        ("protocol:join", {"protocolId": "no-such"}),
        ("protocol:join", "P1"),
        ("protocol:leave", None),
        ("session:ping", None),
        ("protocol:enter", {}),
        ("session:renew", {"token": stack.api.token("viewer", protocols=[protocol_id])}),
        ("session:renew", {"token": stack.api.token("owner", sub="somebody-else")}),
    ):
        documents.validate_ack(event, socket.emit(event, message) if message is not None else socket.emit(event))
    for auth in ({"token": "x"}, {"token": stack.api.token("viewer"), "protocolId": "no-such"}):
        with pytest.raises(RefusedError) as refusal:
            js.connect(stack.url, auth)
        documents.validate_message("Refusal", refusal.value.data)
        assert refusal.value.message == refusal.value.data["code"]
