"""Encryption of the webhooks' secrets at rest: AES-256-GCM, bound to the webhook that owns the secret.

Keys are derived (HKDF, RFC 5869) from WEBHOOK_ENCRYPTION_KEY, or from the signing key if that is not set. A stored
secret names its key, so that the keys before a rotation can still read it until it is encrypted anew.
"""

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.config import Config
from app.core.errors import WebhooksNotConfigured

_KEY_BYTES, _KEY_ID_BYTES, _NONCE_BYTES = 32, 8, 12


class SecretUnreadable(Exception):
    """No configured key can decrypt a stored secret. The text may be shown to clients."""

    def __init__(self) -> None:
        super().__init__("The key that encrypted the secret is no longer configured: rotate the secret, then enable.")


def encrypt(settings: Config, webhook_id: str, secret: str) -> str:
    """Raises WebhooksNotConfigured without any key."""
    key_id, key = _current(settings)
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + AESGCM(key).encrypt(nonce, secret.encode(), webhook_id.encode())
    return f"{key_id}.{base64.b64encode(sealed).decode()}"


def decrypt(settings: Config, webhook_id: str, stored: str) -> str:
    """Raises SecretUnreadable."""
    key_id, _, text = stored.partition(".")
    key = dict(_keys(settings)).get(key_id)
    try:
        if key is None:
            raise SecretUnreadable
        sealed = base64.b64decode(text)
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], webhook_id.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise SecretUnreadable from error


def current_key_id(settings: Config) -> str:
    """The beginning of what `encrypt` returns. Raises WebhooksNotConfigured."""
    return _current(settings)[0]


def _current(settings: Config) -> tuple[str, bytes]:
    keys = _keys(settings)
    if not keys:
        raise WebhooksNotConfigured
    return keys[0]


def _keys(settings: Config) -> list[tuple[str, bytes]]:
    """Every configured key with its id, the one that encrypts first."""
    configured = (
        settings.webhook_encryption_key,
        settings.previous_webhook_encryption_key,
        settings.signing_key,
        settings.previous_signing_key,
    )
    return [_derive(each) for each in configured if each]


def _derive(configured: str) -> tuple[str, bytes]:
    length = _KEY_ID_BYTES + _KEY_BYTES
    derived = HKDF(SHA256(), length, salt=None, info=b"dashboard-realtime/webhook-secrets").derive(configured.encode())
    return derived[:_KEY_ID_BYTES].hex(), derived[_KEY_ID_BYTES:]
