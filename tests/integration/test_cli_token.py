"""`dashboard token`: what it prints is a token that the running system takes."""

import subprocess
import time

import jwt

from tests.support.stack import COMMAND, Stack


def run(stack: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, "token", *arguments],
        env=stack.environment,
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_the_printed_token_is_accepted_and_alone_on_its_line(stack: Stack, protocol_id: str):
    printed = run(stack, "--role", "owner", "--protocol", protocol_id).stdout
    assert printed.count("\n") == 1
    owner = stack.api.with_token(printed.strip())
    assert owner.get(f"/protocols/{protocol_id}").status == 200
    assert owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1.00"}).status == 201


def test_a_token_without_a_protocol_is_told_that_it_does_not_exist(stack: Stack, protocol_id: str):
    other = run(stack, "--role", "owner", "--protocol", "another").stdout.strip()
    assert stack.api.with_token(other).get(f"/protocols/{protocol_id}").status == 404


def test_the_claims_are_those_of_the_contract(stack: Stack):
    arguments = ("--role", "validator", "--protocol", "P1", "--protocol", "P2", "--sub", "vera", "--ttl", "60")
    claims = jwt.decode(run(stack, *arguments).stdout.strip(), stack.signing_key, algorithms=["HS256"])
    assert (claims["sub"], claims["role"], claims["protocols"]) == ("vera", "validator", ["P1", "P2"])
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 30
    assert claims["jti"]


def test_a_star_grants_every_protocol(stack: Stack, protocol_id: str):
    token = run(stack, "--role", "viewer", "--protocol", "*").stdout.strip()
    assert stack.api.with_token(token).get(f"/protocols/{protocol_id}/state").status == 200


def test_an_unknown_role_is_refused_with_the_roles_there_are(stack: Stack):
    refused = run(stack, "--role", "emperor")
    assert refused.returncode == 2
    assert "validator" in refused.stderr
    assert refused.stdout == ""
