"""Secrets at rest: bound to their webhook, readable with the keys of a rotation, never a crash without the key."""

import secrets
from typing import Any

import pytest

from app.config import Config
from app.core.errors import WebhooksNotConfigured
from app.webhooks.encryption import SecretUnreadable, current_key_id, decrypt, encrypt

OLD, NEW, OWN, NEXT = (secrets.token_hex(32) for _ in range(4))
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


def test_each_encryption_differs_and_none_holds_the_secret() -> None:
    first, second = (encrypt(Config(signing_key=OLD), "W1", SECRET) for _ in range(2))

    assert first != second
    assert SECRET not in first
    assert first.startswith(current_key_id(Config(signing_key=OLD)) + ".")
    assert decrypt(Config(signing_key=OLD), "W1", first) == decrypt(Config(signing_key=OLD), "W1", second) == SECRET


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"signing_key": OLD}, {"signing_key": NEW, "previous_signing_key": OLD}),
        ({"signing_key": OLD}, {"signing_key": OLD, "webhook_encryption_key": OWN}),
        (
            {"webhook_encryption_key": OWN},
            {"webhook_encryption_key": NEXT, "previous_webhook_encryption_key": OWN, "signing_key": OLD},
        ),
    ],
)
def test_the_key_before_a_rotation_still_reads(before: dict[str, Any], after: dict[str, Any]) -> None:
    stored = encrypt(Config(**before), "W1", SECRET)

    assert decrypt(Config(**after), "W1", stored) == SECRET
    assert current_key_id(Config(**after)) != current_key_id(Config(**before)) or "webhook_encryption_key" in before


@pytest.mark.parametrize("damage", ["other key", "other webhook", "cut", "empty", "no base64", "changed"])
def test_what_cannot_be_decrypted_is_one_error(damage: str) -> None:
    settings, webhook_id, stored = Config(signing_key=OLD), "W1", encrypt(Config(signing_key=OLD), "W1", SECRET)
    match damage:
        case "other key":
            settings = Config(signing_key=NEW)
        case "other webhook":
            webhook_id = "W2"
        case "cut":
            stored = stored[:20]
        case "empty":
            stored = ""
        case "no base64":
            stored = stored.partition(".")[0] + ".é"
        case "changed":
            stored = stored[:-6] + ("A" if stored[-6] != "A" else "B") + stored[-5:]

    with pytest.raises(SecretUnreadable) as error:
        decrypt(settings, webhook_id, stored)
    assert OLD not in str(error.value)


def test_without_a_key_no_webhook_can_be_made() -> None:
    with pytest.raises(WebhooksNotConfigured):
        encrypt(Config(jwks_url="https://idp.example/jwks"), "W1", SECRET)
