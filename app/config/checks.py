"""Checks of the settings beyond their types; no message shows a value that may be secret."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from app.config import addresses, redis_addresses
from app.config.settings import MIN_KEY_BYTES, MIN_PAYOUT_SECRET_BYTES

Values = dict[str, Any]
Fault = tuple[str, str]

MAX_PAYOUT_SECONDS = 35
MIN_CHARACTERS = 8
MISSING = "is not set, and `dashboard up` has made none in DASHBOARD_HOME"
_PLACEHOLDERS = re.compile(
    "change|secret|password|passwd|passphrase|example|default|placeholder|insert|replace|please|letmein|qwerty|"
    "dashboard|signing|token|payout|your|test|this|here|with|key|me",
    re.IGNORECASE,
)


def cross_check(values: Values, *, offline: bool, under_up: bool) -> Iterator[Fault]:
    """Yield faults as the setting's field and a message, empty if there is none.

    `offline`: neither database nor Redis is needed. `under_up`: under `dashboard up` payouts go to a local
    stand-in, so their secret may be weak.
    """
    if not offline:
        yield "database_url", addresses.database_fault(values["database_url"]) if values["database_url"] else MISSING
        yield "redis_url", redis_addresses.redis_fault(values["redis_url"]) if values["redis_url"] else MISSING
        if values["rooms_redis_url"] != values["redis_url"]:
            yield "rooms_redis_url", redis_addresses.rooms_fault(values["rooms_redis_url"])
    yield from _secret_faults(values, under_up=under_up)
    if values["payout_connect_timeout"] + 2 * values["payout_read_timeout"] > MAX_PAYOUT_SECONDS:
        message = f"connect timeout + 2 × read timeout must not exceed {MAX_PAYOUT_SECONDS} s: a job ends before 40 s"
        yield "payout_read_timeout", message
    for each in map(str.strip, values["allowed_origins"].split(",")):
        try:
            if each not in ("", addresses.ANY):
                addresses.normalized(each)
        except ValueError:
            yield "allowed_origins", f"{each!r} {addresses.ORIGIN_FORM}"
    try:
        addresses.networks(values["webhook_allowed_networks"])
    except ValueError:
        yield "webhook_allowed_networks", addresses.NETWORK_FORM
    for key in ("payout_url", "jwks_url", "otlp_endpoint"):
        if values[key]:
            yield key, _web_fault(key, values[key], allow_http=bool(values["payout_allow_http"]))
    yield from _exporter_faults(values)


def _secret_faults(values: Values, *, under_up: bool) -> Iterator[Fault]:
    if not values["jwks_url"] and not values["signing_key"]:
        yield "signing_key", MISSING
    if values["payout_url"] and not values["payout_secret"]:
        yield "payout_secret", "is required when PAYOUT_URL is set: payouts are signed"
    keys = ("signing_key", "previous_signing_key", "webhook_encryption_key", "previous_webhook_encryption_key")
    sizes = dict.fromkeys(keys, MIN_KEY_BYTES)
    if values["payout_url"] and not under_up:
        sizes["payout_secret"] = MIN_PAYOUT_SECRET_BYTES
    for key, min_bytes in sizes.items():
        if values[key] and is_weak(values[key], min_bytes):
            yield key, f"is too weak: use {min_bytes} random bytes or more, e.g. `openssl rand -hex 32`"


def is_weak(secret: str, min_bytes: int) -> bool:
    """Whether a secret is too short, repetitive, of few characters, or made of placeholder words.

    Without repetition and placeholders, half of `min_bytes` and eight different characters must remain.
    """
    if len(secret.encode()) < min_bytes:
        return True
    periods = range(1, len(secret) // 2 + 1)
    period = next((each for each in periods if secret[each:] == secret[:-each]), len(secret))
    rest = _PLACEHOLDERS.sub("", secret[:period])
    return len(rest) < min_bytes // 2 or len(set(rest)) < MIN_CHARACTERS


def _web_fault(key: str, url: str, *, allow_http: bool) -> str:
    if not url.startswith(("http://", "https://")):
        return "must start with http:// or https://"
    parts = addresses.split(url)
    if parts is None:
        return "is not like https://host:port/path"
    if key != "payout_url" and "@" in parts.netloc:
        return "must hold no password: it is shown in logs"
    is_protected = parts.scheme == "https" or addresses.is_loopback(parts.hostname or "")
    if key == "jwks_url" and not is_protected:
        return "must be https:// (http:// only to this machine): anyone who can alter the response can sign any token"
    if key == "payout_url" and not is_protected and not allow_http:
        return "must be https:// (http:// only to this machine, or with PAYOUT_ALLOW_HTTP=1): it moves money"
    return ""


def _exporter_faults(values: Values) -> Iterator[Fault]:
    for key, extra, package in (
        ("otlp_endpoint", "telemetry", "opentelemetry.exporter.otlp.proto.http"),
        ("sentry_dsn", "sentry", "sentry_sdk"),
    ):
        if not values[key]:
            continue
        try:
            is_installed = find_spec(package) is not None
        except ModuleNotFoundError:  # its parent package is missing
            is_installed = False
        if not is_installed:
            yield key, f"needs the extra `{extra}`: pip install 'dashboard-realtime[{extra}]', or unset it"
    dsn = addresses.split(values["sentry_dsn"])
    if values["sentry_dsn"] and not (dsn and dsn.scheme in ("http", "https") and dsn.username and dsn.path.strip("/")):
        yield "sentry_dsn", "is not like https://KEY@HOST/PROJECT"
