"""Typed settings from the environment, checked at start; every fault is told at once.

Each setting is one field below: its environment variable, its default and what it is for. The reference in
`docs/configuration.md` is generated from these lines. Any secret may come as a file: `NAME_FILE=/run/secrets/name`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, validate
from marshmallow import fields as schema_fields

MIN_KEY_BYTES = 32
LONGEST_PAYOUT_SECONDS = 35
KEY_FILE = "signing.key"
REDIS_URL_FILE = "run/redis.url"
DATABASE_FILE = "dashboard.db"
SERVERS = (("DATABASE_URL", "database_url"), ("REDIS_URL", "redis_url"))


class ConfigError(Exception):
    """The configuration cannot be used; `faults` names each setting and what is wrong with it."""

    def __init__(self, faults: dict[str, list[str]]) -> None:
        self.faults = faults
        lines = [f"  {name}: {message}" for name, messages in sorted(faults.items()) for message in messages]
        super().__init__("invalid configuration:\n" + "\n".join(lines))


def setting(env: str, default: Any, about: str, *, kind: str = "str", check: Any = None, secret: bool = False) -> Any:
    meta = {"env": env, "about": about, "kind": kind, "check": check, "secret": secret, "default": default}
    return field(default=default, metadata=meta, repr=not secret)


_KINDS = {"str": schema_fields.String, "int": schema_fields.Integer, "float": schema_fields.Float}
_positive = validate.Range(min=1)
_not_negative = validate.Range(min=0)


@dataclass(frozen=True)
class Config:
    """The whole configuration; times in seconds unless the name says otherwise."""

    home: str = setting("DASHBOARD_HOME", ".dashboard", "folder of the embedded parts: data, key, pid files")
    database_url: str = setting(
        "DATABASE_URL", "", "SQLAlchemy URL; `postgresql+psycopg://…` or `sqlite:///…`", secret=True
    )
    redis_url: str = setting(
        "REDIS_URL",
        "",
        "`redis://`, `rediss://` (TLS) or `sentinel://host:port,host:port/service/db`",
        secret=True,
    )

    signing_key: str = setting(
        "DASHBOARD_SIGNING_KEY",
        "",
        f"secret that signs tokens (HS256), at least {MIN_KEY_BYTES} bytes",
        secret=True,
    )
    previous_signing_key: str = setting(
        "DASHBOARD_PREVIOUS_SIGNING_KEY",
        "",
        "the key before a rotation: still accepted, never used to sign",
        secret=True,
    )
    jwks_url: str = setting("DASHBOARD_JWKS_URL", "", "identity provider's key set; replaces the shared secret")
    token_issuer: str = setting("DASHBOARD_TOKEN_ISSUER", "", "required `iss` of tokens, when set")
    token_audience: str = setting("DASHBOARD_TOKEN_AUDIENCE", "", "required `aud` of tokens, when set")
    token_leeway: int = setting(
        "DASHBOARD_TOKEN_LEEWAY",
        5,
        "clock difference granted to token times",
        kind="int",
        check=_not_negative,
    )

    payout_url: str = setting(
        "PAYOUT_URL", "", "service that moves the money; empty: payments are settled in the ledger alone"
    )
    payout_secret: str = setting("PAYOUT_SECRET", "", "key of the payouts' HMAC-SHA256 signature", secret=True)
    payout_connect_timeout: float = setting(
        "PAYOUT_CONNECT_TIMEOUT", 2.0, "time to reach the payout service", kind="float", check=_not_negative
    )
    payout_read_timeout: float = setting(
        "PAYOUT_READ_TIMEOUT",
        5.0,
        "time the payout service may take to answer",
        kind="float",
        check=_not_negative,
    )
    payout_retry_base: float = setting(
        "PAYOUT_RETRY_BASE",
        1.0,
        "first pause before a payout is tried again; doubles, with jitter",
        kind="float",
    )
    payout_retry_cap: float = setting("PAYOUT_RETRY_CAP", 300.0, "longest pause between two tries", kind="float")

    rest_per_token: int = setting(
        "DASHBOARD_REST_PER_TOKEN", 1000, "REST requests a second per token", kind="int", check=_positive
    )
    rest_per_address: int = setting(
        "DASHBOARD_REST_PER_ADDRESS", 3000, "REST requests a second per address", kind="int", check=_positive
    )
    sockets_per_token: int = setting(
        "DASHBOARD_SOCKETS_PER_TOKEN", 5000, "open sockets per token", kind="int", check=_positive
    )
    sockets_per_address: int = setting(
        "DASHBOARD_SOCKETS_PER_ADDRESS", 10000, "open sockets per address", kind="int", check=_positive
    )
    sockets_per_process: int = setting(
        "DASHBOARD_SOCKETS_PER_PROCESS", 10000, "open sockets per web process", kind="int", check=_positive
    )
    client_events_per_second: int = setting(
        "DASHBOARD_CLIENT_EVENTS_PER_SECOND",
        50,
        "client events a second per socket",
        kind="int",
        check=_positive,
    )
    handshake_seconds: float = setting(
        "DASHBOARD_HANDSHAKE_SECONDS",
        10.0,
        "a connection that has not authenticated by then is ended",
        kind="float",
        check=_positive,
    )
    allowed_origins: str = setting(
        "DASHBOARD_ALLOWED_ORIGINS",
        "",
        "other origins whose pages may call, comma-separated; own origin always may",
    )
    trusted_proxies: int = setting(
        "DASHBOARD_TRUSTED_PROXIES",
        0,
        "proxies in front whose X-Forwarded-For counts",
        kind="int",
        check=_not_negative,
    )
    shutdown_grace: float = setting(
        "DASHBOARD_SHUTDOWN_GRACE", 15.0, "how long a web process lets requests and sockets end", kind="float"
    )
    visibility_timeout: int = setting(
        "DASHBOARD_VISIBILITY_TIMEOUT",
        60,
        "after this a dead worker's tasks run again",
        kind="int",
        check=_positive,
    )

    metrics_port: int = setting(
        "DASHBOARD_METRICS_PORT",
        0,
        "port on which workers and beat serve their own metrics; 0: none, as under `dashboard up`",
        kind="int",
        check=_not_negative,
    )

    log_level: str = setting(
        "DASHBOARD_LOG_LEVEL",
        "INFO",
        "DEBUG, INFO, WARNING or ERROR",
        check=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
    )
    log_format: str = setting(
        "DASHBOARD_LOG_FORMAT",
        "text",
        "`text` for people, `json` for machines",
        check=validate.OneOf(["text", "json"]),
    )

    @property
    def home_path(self) -> Path:
        return Path(self.home).resolve()

    @property
    def origins(self) -> list[str]:
        return [origin.strip() for origin in self.allowed_origins.split(",") if origin.strip()]


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
    for name, key in (("PAYOUT_URL", "payout_url"), ("DASHBOARD_JWKS_URL", "jwks_url")):
        if values[key] and not values[key].startswith(("http://", "https://")):
            faults[name] = ["must start with http:// or https://"]
    return faults


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
