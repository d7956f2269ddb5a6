"""Checks of the settings beyond their types; no message shows a value that may be secret."""

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from app.config.addresses import (
    ANY,
    ORIGIN_FORM,
    database_fault,
    is_loopback,
    normalized,
    redis_fault,
    split,
    web_fault,
)
from app.config.settings import MIN_KEY_BYTES, MIN_PAYOUT_SECRET_BYTES

Values = dict[str, Any]
Fault = tuple[str, str]

MAX_PAYOUT_SECONDS = 35
MIN_CHARACTERS = 8
_PLACEHOLDERS = re.compile(
    "change|secret|password|passwd|passphrase|example|default|placeholder|insert|replace|please|letmein|qwerty|"
    "dashboard|signing|token|payout|your|test|this|here|with|key|me",
    re.IGNORECASE,
)
MISSING = "is not set, and `dashboard up` has made none in DASHBOARD_HOME"
SERVERS: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("DATABASE_URL", "database_url", database_fault),
    ("REDIS_URL", "redis_url", redis_fault),
)
WEB_ADDRESSES = (
    ("PAYOUT_URL", "payout_url"),
    ("DASHBOARD_JWKS_URL", "jwks_url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"),
)
# Settings that need an optional extra: (variable, key, extra, one module of each package)
EXTRAS = (
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "otlp_endpoint",
        "telemetry",
        ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
    ),
    ("SENTRY_DSN", "sentry_dsn", "sentry", ("sentry_sdk",)),
)


def cross_check(values: Values, *, offline: bool, under_up: bool) -> Iterator[Fault]:
    """Yield each fault as the variable's name and a message. `offline`: neither database nor Redis is needed.

    `under_up`: under `dashboard up` payouts go to a local stand-in, so their secret may be weak.
    """
    if not offline:
        yield from _server_faults(values)
    yield from _key_faults(values)
    yield from _payout_faults(values, under_up=under_up)
    yield from _origin_faults(values)
    yield from _web_faults(values)
    yield from _exporter_faults(values)


def _server_faults(values: Values) -> Iterator[Fault]:
    for name, key, fault_of in SERVERS:
        fault = fault_of(values[key]) if values[key] else MISSING
        if fault:
            yield name, fault


def _key_faults(values: Values) -> Iterator[Fault]:
    if not values["jwks_url"] and not values["signing_key"]:
        yield "DASHBOARD_SIGNING_KEY", MISSING
    for name, key in (
        ("DASHBOARD_SIGNING_KEY", "signing_key"),
        ("DASHBOARD_PREVIOUS_SIGNING_KEY", "previous_signing_key"),
    ):
        if values[key] and is_weak(values[key], MIN_KEY_BYTES):
            yield name, _too_weak(MIN_KEY_BYTES)


def is_weak(secret: str, min_bytes: int) -> bool:
    """Whether a secret is too short, repetitive, of few characters, or made of placeholder words.

    Without repetition and placeholders, half of `min_bytes` and eight different characters must remain.
    """
    if len(secret.encode()) < min_bytes:
        return True
    rest = _PLACEHOLDERS.sub("", _without_repetition(secret))
    return len(rest) < min_bytes // 2 or len(set(rest)) < MIN_CHARACTERS


def _without_repetition(text: str) -> str:
    """The shortest part whose repetition, possibly cut off at the end, gives the text; else the whole text."""
    for period in range(1, len(text) // 2 + 1):
        if text[period:] == text[:-period]:
            return text[:period]
    return text


def _too_weak(min_bytes: int) -> str:
    return f"is too weak: use {min_bytes} random bytes or more, e.g. `openssl rand -hex 32`"


def _payout_faults(values: Values, *, under_up: bool) -> Iterator[Fault]:
    if values["payout_connect_timeout"] + 2 * values["payout_read_timeout"] > MAX_PAYOUT_SECONDS:
        yield (
            "PAYOUT_READ_TIMEOUT",
            f"connect timeout + 2 × read timeout must not exceed {MAX_PAYOUT_SECONDS} s: a job ends before 40 s",
        )
    if values["payout_url"] and not values["payout_secret"]:
        yield "PAYOUT_SECRET", "is required when PAYOUT_URL is set: payouts are signed"
    elif values["payout_url"] and not under_up and is_weak(values["payout_secret"], MIN_PAYOUT_SECRET_BYTES):
        yield "PAYOUT_SECRET", _too_weak(MIN_PAYOUT_SECRET_BYTES)


def _origin_faults(values: Values) -> Iterator[Fault]:
    for each in values["allowed_origins"].split(",") if values["allowed_origins"] else ():
        try:
            if each.strip() not in ("", ANY):
                normalized(each.strip())
        except ValueError:
            yield "DASHBOARD_ALLOWED_ORIGINS", f"{each.strip()!r} {ORIGIN_FORM}"


def _web_faults(values: Values) -> Iterator[Fault]:
    for name, key in WEB_ADDRESSES:
        url = values[key]
        if url and (fault := web_fault(url)):
            yield name, fault
        elif key != "payout_url" and "@" in urlsplit(url).netloc:
            yield name, "must hold no password: it is shown in logs"
        elif key == "jwks_url" and _is_plain_http_to_others(url):
            yield (
                name,
                "must be https:// (http:// only to this machine): anyone who can alter the response can sign any token",
            )
        elif key == "payout_url" and not values["payout_allow_http"] and _is_plain_http_to_others(url):
            yield name, "must be https:// (http:// only to this machine, or with PAYOUT_ALLOW_HTTP=1): it moves money"


def _is_plain_http_to_others(url: str) -> bool:
    return url.startswith("http://") and not is_loopback(urlsplit(url).hostname or "")


def _exporter_faults(values: Values) -> Iterator[Fault]:
    for name, key, extra, modules in EXTRAS:
        if values[key] and not all(_is_installed(module) for module in modules):
            yield name, f"needs the extra `{extra}`: pip install 'dashboard-realtime[{extra}]', or unset it"
    if values["sentry_dsn"] and not _is_dsn(values["sentry_dsn"]):
        yield "SENTRY_DSN", "is not like https://KEY@HOST/PROJECT"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def _is_dsn(text: str) -> bool:
    parts = split(text)
    return parts is not None and parts.scheme in ("http", "https") and bool(parts.username and parts.path.strip("/"))
