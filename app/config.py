"""Typed settings from the environment, checked at start; every fault is told at once.

The table of settings is `app/settings.py`. Any of them may come as a file: `NAME_FILE=/run/secrets/name`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError
from marshmallow import fields as schema_fields

from app import sentinel
from app.settings import MIN_KEY_BYTES, Config

__all__ = ["Config", "ConfigError", "load_config"]

LONGEST_PAYOUT_SECONDS = 35
KEY_FILE = "signing.key"
REDIS_URL_FILE = "run/redis.url"
DATABASE_FILE = "dashboard.db"
SERVERS = (("DATABASE_URL", "database_url"), ("REDIS_URL", "redis_url"))
WEB_ADDRESSES = (
    ("PAYOUT_URL", "payout_url"),
    ("DASHBOARD_JWKS_URL", "jwks_url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"),
)
# What a setting turns on needs an extra that may not be there: (variable, key, extra, one module of each package)
EXTRAS = (
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "otlp_endpoint",
        "telemetry",
        ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
    ),
    ("SENTRY_DSN", "sentry_dsn", "sentry", ("sentry_sdk",)),
)
_KINDS = {"str": schema_fields.String, "int": schema_fields.Integer, "float": schema_fields.Float}


class ConfigError(Exception):
    """The configuration cannot be used; `faults` names each setting and what is wrong with it."""

    def __init__(self, faults: dict[str, list[str]]) -> None:
        self.faults = faults
        lines = [f"  {name}: {message}" for name, messages in sorted(faults.items()) for message in messages]
        super().__init__("invalid configuration:\n" + "\n".join(lines))


def load_config(environ: Mapping[str, str] | None = None, *, offline: bool = False) -> Config:
    """Read and check all settings. Raises ConfigError that lists every fault.

    `offline`: for what only signs or prints, and needs neither database nor Redis.
    """
    environ = dict(os.environ if environ is None else environ)
    faults: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for each in fields(Config):
        try:
            values[each.name] = _read(environ, each.metadata)
        except ValidationError as fault:
            faults[each.metadata["env"]] = [str(message) for message in fault.messages]
        except OSError as fault:
            faults[each.metadata["env"]] = [str(fault)]
    if not faults:
        values = _with_embedded_defaults(values)
        faults = _cross_check(values, required=() if offline else SERVERS)
    if faults:
        raise ConfigError(faults)
    return Config(**values)


def _read(environ: Mapping[str, str], meta: Mapping[str, Any]) -> Any:
    name = meta["env"]
    text = environ.get(name)
    if text is None and f"{name}_FILE" in environ:
        text = Path(environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()
    if text is None or text == "":
        return meta["default"]
    return _KINDS[meta["kind"]](validate=meta["check"]).deserialize(text)


def _with_embedded_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """What is not set comes from the embedded parts, when `dashboard up` has made them in DASHBOARD_HOME."""
    home = Path(values["home"]).resolve()
    if not values["signing_key"] and not values["jwks_url"]:
        values["signing_key"] = _text_of(home / KEY_FILE)
    if not values["redis_url"]:
        values["redis_url"] = _text_of(home / REDIS_URL_FILE)
    if not values["database_url"] and home.is_dir():
        values["database_url"] = f"sqlite:///{home / DATABASE_FILE}"
    if values["database_url"].startswith(("postgres://", "postgresql://")):
        values["database_url"] = "postgresql+psycopg://" + values["database_url"].partition("://")[2]
    if values["redis_sentinel_password"] and values["redis_url"].startswith(sentinel.SCHEME):
        values["redis_url"] = sentinel.with_password(values["redis_url"], values["redis_sentinel_password"])
    return values


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _cross_check(values: dict[str, Any], required: tuple[tuple[str, str], ...]) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    missing = "is not set, and `dashboard up` has made none in DASHBOARD_HOME"
    for name, key in required:
        if not values[key]:
            faults[name] = [missing]
    if not values["jwks_url"] and not values["signing_key"]:
        faults["DASHBOARD_SIGNING_KEY"] = [missing]
    for name, key in (
        ("DASHBOARD_SIGNING_KEY", "signing_key"),
        ("DASHBOARD_PREVIOUS_SIGNING_KEY", "previous_signing_key"),
    ):
        if values[key] and _is_weak(values[key]):
            faults[name] = [f"is too weak: use {MIN_KEY_BYTES} random bytes or more, e.g. `openssl rand -hex 32`"]
    faults |= _payout_faults(values)
    bad_origins = [each for each in values["allowed_origins"].split(",") if not _is_origin(each.strip())]
    if values["allowed_origins"] and bad_origins:
        faults["DASHBOARD_ALLOWED_ORIGINS"] = [f"{each!r} is not like https://app.example" for each in bad_origins]
    for name, key in WEB_ADDRESSES:
        if values[key] and not values[key].startswith(("http://", "https://")):
            faults[name] = ["must start with http:// or https://"]
    return faults | _redis_faults(values) | _abroad_faults(values)


def _redis_faults(values: dict[str, Any]) -> dict[str, list[str]]:
    if values["redis_url"].startswith(sentinel.SCHEME):
        try:
            sentinel.parse(values["redis_url"])
        except ValueError as fault:
            return {"REDIS_URL": [str(fault)]}
    return {}


def _abroad_faults(values: dict[str, Any]) -> dict[str, list[str]]:
    """What is to be told to others needs the library that tells it, and an address."""
    faults: dict[str, list[str]] = {}
    for name, key, extra, modules in EXTRAS:
        if values[key] and not all(_is_installed(module) for module in modules):
            faults[name] = [f"needs the extra `{extra}`: pip install 'dashboard-realtime[{extra}]', or unset it"]
    if values["sentry_dsn"] and not _is_dsn(values["sentry_dsn"]):
        faults.setdefault("SENTRY_DSN", []).append("is not like https://KEY@HOST/PROJECT")
    return faults


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False


def _is_dsn(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.scheme in ("http", "https") and parts.username and parts.hostname and parts.path.strip("/"))
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    return re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|\*", text) is not None


def _payout_faults(values: dict[str, Any]) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    if values["payout_connect_timeout"] + 2 * values["payout_read_timeout"] > LONGEST_PAYOUT_SECONDS:
        faults["PAYOUT_READ_TIMEOUT"] = [
            f"connect timeout + 2 × read timeout must not exceed {LONGEST_PAYOUT_SECONDS} s: a job ends before 40 s"
        ]
    if values["payout_url"] and not values["payout_secret"]:
        faults["PAYOUT_SECRET"] = ["is required when PAYOUT_URL is set: payouts are signed"]
    return faults


def _is_weak(key: str) -> bool:
    few_characters = 8
    return len(key.encode()) < MIN_KEY_BYTES or len(set(key)) < few_characters
