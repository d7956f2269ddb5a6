"""Signatures of Standard Webhooks, verified by the official libraries."""

import base64
import json
import os
import subprocess
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.core.standard_webhooks import key_of, signed_headers
from tests.support.node import client_modules, node_binary

OLD, NEW, OTHER = ("whsec_" + base64.b64encode(bytes([number]) * 24).decode() for number in (1, 250, 7))
BODY = '{"type":"vuln:discovered","data":{"title":"Ünï \\"codé\\" 🦀"}}'.encode()
NODE = """
import { Webhook } from "standardwebhooks";
const { secrets, body, headers } = JSON.parse(process.argv[1]);
console.log(JSON.stringify(secrets.map((secret) => {
  try { return new Webhook(secret).verify(body, headers).type; } catch (error) { return error.constructor.name; }
})));
"""


def headers(*secrets: str, at: float = 0.0) -> dict[str, str]:
    return signed_headers("msg_1", int(time.time() + at), BODY, secrets)


def test_both_secrets_verify_during_a_rotation_with_the_python_library():
    signed = headers(NEW, OLD)

    assert [Webhook(secret).verify(BODY, signed)["type"] for secret in (NEW, OLD)] == ["vuln:discovered"] * 2
    assert len(signed["webhook-signature"].split(" ")) == 2


def test_both_secrets_verify_during_a_rotation_with_the_javascript_library():
    given = json.dumps({"secrets": [NEW, OLD, OTHER], "body": BODY.decode(), "headers": headers(NEW, OLD)})
    argv = [node_binary(), "--input-type=module", "-e", NODE, given]
    done = subprocess.run(argv, cwd=client_modules(), env=os.environ, capture_output=True, text=True, timeout=120)

    assert json.loads(done.stdout or "null") == ["vuln:discovered", "vuln:discovered", "WebhookVerificationError"], done


@pytest.mark.parametrize("change", ["webhook-id", "webhook-timestamp", "body", "secret", "age"])
def test_a_changed_or_old_message_does_not_verify(change):
    signed = headers(NEW, at=-3600 if change == "age" else 0)
    if change in signed:
        signed[change] += "1"
    body = BODY + b" " if change == "body" else BODY

    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER if change == "secret" else NEW).verify(body, signed)


def test_a_secret_without_prefix_is_the_key_itself():
    assert (key_of("pass wörd"), key_of(OLD)) == ("pass wörd".encode(), bytes([1]) * 24)
    with pytest.raises(ValueError, match=r"base64|padding|characters"):
        key_of("whsec_no base64")
