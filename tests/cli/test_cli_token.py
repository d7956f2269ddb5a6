"""`dashboard token` prints a token that the running system accepts."""

import subprocess
import time

import jwt
import pytest

from tests.cli.commands import call_command, run_in
from tests.factories import make_protocol
from tests.support.stack import Stack


def call_token(stack: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return call_command("token", *arguments, environment=stack.environment)


def printed_token(stack: Stack, *arguments: str) -> str:
    return call_token(stack, *arguments).stdout.strip()


def test_the_printed_token_is_accepted_and_alone_on_its_line(stack: Stack, protocol_id: str):
    printed = run_in(stack, "token", "--role", "owner", "--protocol", protocol_id).stdout
    assert printed.count("\n") == 1
    owner = stack.api.with_token(printed.strip())
    assert owner.get(f"/protocols/{protocol_id}").status == 200
    assert owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1.00"}).status == 201


def test_a_protocol_that_the_token_does_not_grant_is_not_found(stack: Stack, protocol_id: str):
    other = printed_token(stack, "--role", "owner", "--protocol", "another")
    assert stack.api.with_token(other).get(f"/protocols/{protocol_id}").status == 404


def test_the_claims_are_those_of_the_contract(stack: Stack):
    arguments = ("--role", "validator", "--protocol", "P1", "--protocol", "P2", "--sub", "vera", "--ttl", "60")
    claims = jwt.decode(printed_token(stack, *arguments), stack.signing_key, algorithms=["HS256"])
    assert (claims["sub"], claims["role"], claims["protocols"]) == ("vera", "validator", ["P1", "P2"])
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 30
    assert claims["jti"]


def test_a_star_grants_every_protocol(stack: Stack, protocol_id: str):
    token = printed_token(stack, "--role", "viewer", "--protocol", "*")
    assert stack.api.with_token(token).get(f"/protocols/{protocol_id}/state").status == 200


def subject_of(stack: Stack, *arguments: str) -> str:
    return jwt.decode(printed_token(stack, *arguments), options={"verify_signature": False})["sub"]


def test_owners_of_different_protocols_have_different_default_subjects(stack: Stack):
    places = [make_protocol(stack.api), make_protocol(stack.api)]
    tokens = [printed_token(stack, "--role", "owner", "--protocol", place) for place in places]
    for place, token in zip(places, tokens, strict=True):
        owner = stack.api.with_token(token)
        owner.post(f"/protocols/{place}/deposits", {"amount": "1"}, Idempotency_Key="first deposit").expect(201)


def test_the_default_subject_is_the_role_and_its_protocols(stack: Stack):
    assert subject_of(stack, "--role", "owner", "--protocol", "P2", "--protocol", "P1") == "owner@P1,P2"
    assert subject_of(stack, "--role", "admin", "--protocol", "*") == "admin"
    assert subject_of(stack, "--role", "agent", "--protocol", "P1") == "agent"
    many = [word for number in range(40) for word in ("--protocol", f"protocol-{number}")]
    token = printed_token(stack, "--role", "viewer", *many)
    assert stack.api.with_token(token).get("/protocols").status == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ("--protocol", "bad id!"), ("--protocol", "P1", "--protocol", ""), ("--protocol", "P" * 65),
        ("--protocol", "P1,P2"), ("--sub", "a\nb"), ("--sub", "  "), ("--sub", "x" * 129),
        ("--ttl", "9" * 20), ("--ttl", "0"),
    ],
)  # fmt: skip
def test_options_that_would_make_a_useless_token_are_refused(arguments: tuple[str, ...], stack: Stack):
    refused = call_token(stack, "--role", "viewer", *arguments)
    assert refused.returncode == 2
    assert arguments[-2] in refused.stderr
    assert refused.stdout == ""


def test_an_unknown_role_is_refused_with_a_list_of_the_roles(stack: Stack):
    refused = call_token(stack, "--role", "emperor")
    assert refused.returncode == 2
    assert "validator" in refused.stderr
    assert refused.stdout == ""
