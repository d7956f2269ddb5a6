"""The typed REST calls: generated from the document, retried where that is harmless, refusals as exceptions."""

import inspect
import logging
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from tests.support import python_client
from tests.support.coroutines import run_in_thread
from tests.support.documents import openapi_offline
from tests.support.stack import Stack

from dashboard_realtime import Agent, ApiError, AsyncClient, Client, Room, Unreachable
from dashboard_realtime.rest import operations
from dashboard_realtime.rest.requests import Operation
from scripted_api import HANG, LOSE_ANSWER, RESET, Refusal

BUSY = Refusal(503, "DATABASE_UNAVAILABLE")
DEPOSIT = "/api/v1/protocols/P1/deposits"


@pytest.fixture(scope="module")
def document() -> dict:
    return openapi_offline()


def test_the_generated_modules_are_those_of_the_document(document) -> None:
    differing = [
        name
        for name, text in python_client.generated_files(document).items()
        if (python_client.TARGET / name).read_text(encoding="utf-8") != text
    ]
    assert differing == [], "`make docs` writes them"


def test_every_operation_has_a_call_in_both_clients(document) -> None:
    described = [each for item in document["paths"].values() for each in item.values()]
    calls = [each["operationId"] for each in described if not python_client.is_stream(each)]
    names = {python_client.snake_case(each) for each in calls}

    assert len(names) > 35
    for client in (Client, AsyncClient):
        assert [name for name in names if not callable(getattr(client, name, None))] == []
    assert [name for name in names if parameters(Client, name) != parameters(AsyncClient, name)] == []
    assert {name.lower() for name, each in vars(operations).items() if isinstance(each, Operation)} == names


def parameters(client: type, name: str) -> list:
    return list(inspect.signature(getattr(client, name)).parameters.values())


@pytest.fixture
def client(scripted, agent_token) -> Client:
    return Client(scripted.url, agent_token, timeout=1.0)


@pytest.mark.parametrize("fault", [BUSY, Refusal(502), RESET, LOSE_ANSWER, Refusal(409, "IDEMPOTENCY_KEY_IN_USE")])
def test_a_request_with_an_effect_is_repeated_under_one_key(scripted, client, fault) -> None:
    scripted.script = [fault, fault]
    client.create_deposit("P1", amount="10.00")

    assert [call.path for call in scripted.calls] == [DEPOSIT] * 3
    assert len({call.key for call in scripted.calls}) == 1
    assert len(scripted.accepted) == 1


def test_two_requests_have_two_keys_and_a_given_key_is_used(scripted, client) -> None:
    for key in (None, None, "deposit-17"):
        client.create_deposit("P1", amount="10.00", idempotency_key=key)

    keys = [call.key for call in scripted.calls]
    assert len(set(keys)) == 3
    assert keys[2] == "deposit-17"


def test_what_might_take_effect_twice_is_not_repeated(scripted, client) -> None:
    scripted.script = [LOSE_ANSWER]
    with pytest.raises(Unreachable):
        client.create_protocol(name="One")
    assert len(scripted.calls) == 1

    scripted.script = [Refusal(429, "RATE_LIMITED")]
    client.create_protocol(name="One")
    assert len(scripted.calls) == 3, "a limited request has had no effect"


@pytest.mark.parametrize("make", [Client, AsyncClient, Agent, lambda url, token: Room(url, token, "P1")])
@pytest.mark.parametrize("url", ["127.0.0.1:5000", "ftp://dashboard.example", ""])
def test_an_address_that_is_none_is_refused_at_once(make, url) -> None:
    with pytest.raises(ValueError, match="the server's address is"):
        make(url, "T")


def test_the_attempts_are_bounded(scripted, agent_token) -> None:
    scripted.outcome = lambda _: BUSY
    with pytest.raises(ApiError, match="DATABASE_UNAVAILABLE"), Client(scripted.url, agent_token, retries=2) as client:
        client.get_pool("P1")
    assert len(scripted.calls) == 3

    scripted.outcome = lambda _: HANG
    with pytest.raises(Unreachable), Client(scripted.url, agent_token, retries=0, timeout=0.2) as client:
        client.get_pool("P1")


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_respected_as_a_number_and_as_a_date(scripted, client, as_date) -> None:
    at = datetime.now(timezone.utc) + timedelta(seconds=3)
    wanted = at.strftime("%a, %d %b %Y %H:%M:%S GMT") if as_date else "2"
    scripted.script = [Refusal(503, "DATABASE_BUSY", retry_after=wanted)]
    began = time.monotonic()
    client.get_pool("P1")

    assert time.monotonic() - began >= 1.5


def test_a_refusal_has_all_members_of_the_problem(scripted, client) -> None:
    scripted.script = [Refusal(409, "INSUFFICIENT_FUNDS", retry_after="7")]
    with pytest.raises(ApiError) as refused:
        client.create_deposit("P1", amount="10.00")

    error = refused.value
    assert (error.status, error.code, error.request_id, error.retry_after) == (409, "INSUFFICIENT_FUNDS", "r1", 7.0)
    assert error.detail == "refused with INSUFFICIENT_FUNDS"
    assert not error.is_transient


def test_requests_are_spelled_as_the_api_wants_them(scripted, client) -> None:
    scripted.answers["/api/v1/protocols/a%2Fb/payments?limit=2&from=2026-11-22T00%3A00%3A00.000Z"] = {
        "items": [{"id": "p1"}],
        "nextCursor": None,
    }
    since = datetime(2026, 11, 22, tzinfo=timezone.utc)
    assert list(client.list_payments("a/b", limit=2, from_=since)) == [{"id": "p1"}]

    client.create_deposit("P1", amount=Decimal("1E+3"), reference=None)
    assert scripted.calls[-1].body == {"amount": "1000"}
    with pytest.raises(TypeError, match="float"):
        client.create_deposit("P1", amount=0.1)  # type: ignore[arg-type]


def test_the_token_is_in_no_log_and_no_repr(scripted, agent_token, caplog) -> None:
    scripted.outcome = lambda _: Refusal(401, "UNAUTHORIZED")
    with caplog.at_level(logging.DEBUG), Client(scripted.url, agent_token) as client:
        with pytest.raises(ApiError) as refused:
            client.get_pool("P1")
        seen = f"{client!r} {vars(client)} {refused.value!r} {refused.value.problem}"

    assert agent_token not in seen + caplog.text


def test_lists_are_read_page_by_page_and_as_csv(stack: Stack, protocol_id: str) -> None:
    with Client(stack.url, stack.api.token("admin")) as client:
        for number in range(5):
            client.file_vulnerability(protocol_id, title=f"Finding {number}", severity="LOW")
        listed = client.list_vulnerabilities(protocol_id, limit=2)

        assert sorted(each["title"] for each in listed) == [f"Finding {number}" for number in range(5)]
        assert [len(page) for page in listed.pages()] == [2, 2, 1]
        assert len(listed.csv().splitlines()) == 6


def test_the_async_client_does_the_same(stack: Stack, protocol_id: str) -> None:
    async def use() -> None:
        async def token() -> str:
            return stack.api.token("admin")

        async with AsyncClient(stack.url, token) as client:
            filed = await client.file_vulnerability(protocol_id, title="Reentrancy", severity="HIGH")
            assert [each["id"] async for each in client.list_vulnerabilities(protocol_id)] == [filed["id"]]
            assert "Reentrancy" in await client.list_vulnerabilities(protocol_id).csv()
            assert (await client.confirm_vulnerability(filed["id"]))["status"] == "CONFIRMED"
            with pytest.raises(ApiError) as refused:
                await client.reject_vulnerability(filed["id"], reason="a duplicate")
            assert refused.value.code == "INVALID_TRANSITION"
            with pytest.raises(ApiError) as refused:
                await client.create_deposit(protocol_id, amount="-1")
            assert list(refused.value.errors) == ["amount"]

    run_in_thread(use())
