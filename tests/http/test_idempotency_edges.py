"""Idempotency keys at their edges: the longest, every character, other methods of saying the same, an empty answer."""

import pytest

from tests.factories import make_protocol
from tests.support.money import confirmed, funded_protocol, pool, request_payment

pytestmark = pytest.mark.database("sqlite")

LONGEST = 255


@pytest.fixture
def path(api) -> str:
    return f"/protocols/{make_protocol(api)}/deposits"


def total(api, path: str) -> str:
    return pool(api, path.split("/")[2])["total"]


@pytest.mark.parametrize("length", [1, 2, 254, LONGEST])
def test_keys_of_every_allowed_length_have_one_effect(api, path, length):
    for replayed in (False, True):
        answer = api.owner.post(path, {"amount": "5.00"}, Idempotency_Key="k" * length)
        assert answer.status == 201
        assert ("idempotent-replayed" in answer.headers) == replayed
    assert total(api, path) == "5.00"


@pytest.mark.parametrize("length", [0, LONGEST + 1, 1000])
def test_keys_of_other_lengths_are_422_and_have_no_effect(api, path, length):
    refused = api.owner.post(path, {"amount": "5.00"}, Idempotency_Key="k" * length)
    assert (refused.status, list(refused.json["errors"])) == (422, ["Idempotency-Key"])
    assert total(api, path) == "0.00"


def test_two_keys_of_maximum_length_that_differ_in_the_last_character_are_distinct(api, path):
    for last in "ab":
        answer = api.owner.post(path, {"amount": "5.00"}, Idempotency_Key="k" * (LONGEST - 1) + last)
        assert "idempotent-replayed" not in answer.headers
    assert total(api, path) == "10.00"


def test_every_printable_character_is_allowed_in_a_key_and_case_matters(api, path):
    keys = [f"a{chr(code)}b" for code in range(ord(" "), ord("~") + 1)]
    for key in keys:
        answer = api.owner.post(path, {"amount": "1"}, Idempotency_Key=key)
        assert (answer.status, "idempotent-replayed" in answer.headers) == (201, False), key
    assert total(api, path) == f"{len(keys)}.00"


@pytest.mark.parametrize("character", ["\x1f", "\x7f", "\x80", "é", "\t", "\u20ac"])
def test_no_other_character_is_allowed_in_a_key(api, path, character):
    key = f"a{character}b".encode().decode("latin-1")
    assert api.owner.post(path, {"amount": "1"}, Idempotency_Key=key).status == 422


def test_without_a_key_each_request_has_its_effect(api, path):
    for _ in range(2):
        assert "idempotent-replayed" not in api.owner.post(path, {"amount": "1"}).headers
    assert total(api, path) == "2.00"


def test_a_repeated_response_is_the_first_one_despite_later_changes(api, path):
    first = api.owner.post(path, {"amount": "1"}, Idempotency_Key="k")
    api.owner.post(path, {"amount": "1"}).expect(201)
    again = api.owner.post(path, {"amount": "1"}, Idempotency_Key="k")
    assert again.body == first.body
    assert again.json["pool"]["total"] == "1.00"
    assert again.headers["content-type"] == first.headers["content-type"]


def test_only_an_empty_object_equals_a_missing_body(api):
    protocol_id = funded_protocol(api)
    body = {"title": "t", "severity": "LOW"}
    found = api.validator.post(f"/protocols/{protocol_id}/vulnerabilities", body).expect(201)["id"]
    confirm = f"/vulnerabilities/{found}/confirm"
    first = api.validator.post(confirm, None, Idempotency_Key="k")
    again = api.validator.post(confirm, {}, Idempotency_Key="k")
    other = api.validator.post(confirm, {"bounty": "1"}, Idempotency_Key="k")
    assert (first.status, again.status) == (200, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_the_same_key_for_another_kind_of_request_is_409(api):
    protocol_id = funded_protocol(api)
    path = confirmed(api, protocol_id)
    request_payment(api, path)
    api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1"}, Idempotency_Key="k").expect(201)
    refused = api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "2"}, Idempotency_Key="k")
    elsewhere = api.owner.post(f"{path}/payment", {"recipient": "r"}, Idempotency_Key="k")
    assert (refused.code, elsewhere.code) == ("IDEMPOTENCY_KEY_REUSED", "IDEMPOTENCY_KEY_REUSED")
    assert "'k'" in refused.json["detail"]
