"""Signatures of Standard Webhooks (https://www.standardwebhooks.com), the symmetric kind `v1`: HMAC-SHA256.

Signed is `{webhook-id}.{webhook-timestamp}.{body}`, so a receiver that remembers ids and refuses old times accepts no
message twice.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with


def signed_headers(message_id: str, timestamp: int, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """The three headers of one attempt to send a message, with a signature for each secret.

    `message_id` is the same for each attempt, `timestamp` (Unix seconds) is the attempt's.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    digests = [hmac.new(key_of(secret), content, hashlib.sha256).digest() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def key_of(secret: str) -> bytes:
    """The key of `whsec_<base64>`; any other text is itself the key, in UTF-8. Raises ValueError for bad base64."""
    if secret.startswith(SECRET_PREFIX):
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    return secret.encode()
