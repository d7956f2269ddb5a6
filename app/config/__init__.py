"""Typed settings from the environment, checked at start; all faults are reported at once.

`settings.py` lists the settings, `checks.py` checks them together. Any setting may come from a file:
`NAME_FILE=/run/secrets/name`.
"""

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from marshmallow import ValidationError
from marshmallow import fields as schema_fields

from app.config.checks import cross_check
from app.config.redis_addresses import SENTINEL_SCHEME
from app.config.settings import Config

__all__ = ["Config", "ConfigError", "load_config"]

KEY_FILE = "signing.key"
REDIS_URL_FILE = "run/redis.url"
DATABASE_FILE = "dashboard.db"
_FIELDS: dict[Any, Any] = {str: schema_fields.String, int: schema_fields.Integer, float: schema_fields.Float}


class ConfigError(Exception):
    """The configuration is invalid; `faults` maps each setting to its messages."""

    def __init__(self, faults: dict[str, list[str]]) -> None:
        self.faults = faults
        lines = [f"  {name}: {message}" for name, messages in sorted(faults.items()) for message in messages]
        super().__init__("invalid configuration:\n" + "\n".join(lines))


def load_config(environ: Mapping[str, str] | None = None, *, offline: bool = False) -> Config:
    """Read and check all settings. Raises ConfigError that lists every fault.

    `offline` is for commands that need neither database nor Redis.
    """
    environ = dict(os.environ if environ is None else environ)
    values: dict[str, Any] = {each.name: each.default for each in fields(Config)}
    variables: dict[str, str] = {each.name: each.metadata["env"] for each in fields(Config)}
    faults: dict[str, list[str]] = defaultdict(list)
    for each in fields(Config):
        try:
            values[each.name] = _read(environ, each)
        except ValidationError as error:
            faults[variables[each.name]] = [str(message) for message in error.messages]
    try:
        _use_embedded_defaults(values)
    except (OSError, UnicodeError) as error:
        faults[variables["home"]] = [str(error)]
    unreadable = set(faults)
    for key, fault in cross_check(values, offline=offline, under_up=environ.get("DASHBOARD_UNDER_UP") == "1"):
        if fault and variables[key] not in unreadable:
            faults[variables[key]].append(fault)
    if faults:
        raise ConfigError(dict(faults))
    return Config(**values)


def _read(environ: Mapping[str, str], each: Field[Any]) -> Any:
    name = each.metadata["env"]
    text, file = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()
    if not text and file:
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise ValidationError(f"{file} is not text") from None
        except OSError as error:
            raise ValidationError(str(error)) from error
    if not text:
        return each.default
    if any("\ud800" <= character <= "\udfff" for character in text):  # how Python decodes invalid bytes
        raise ValidationError("holds bytes that are not UTF-8")
    return _FIELDS[each.type](validate=each.metadata["check"]).deserialize(text)


def _use_embedded_defaults(values: dict[str, Any]) -> None:
    """Use the key and addresses that `dashboard up` has written to DASHBOARD_HOME for settings that are not set.

    Addresses are rewritten to the form that SQLAlchemy and redis-py accept.
    """
    home = Path(values["home"]).resolve()
    if not values["signing_key"] and not values["jwks_url"]:
        values["signing_key"] = _text_of(home / KEY_FILE)
    if not values["redis_url"]:
        values["redis_url"] = _text_of(home / REDIS_URL_FILE)
    if not values["database_url"] and home.is_dir():
        values["database_url"] = f"sqlite:///{quote(str(home / DATABASE_FILE))}"
    dialect, separator, rest = values["database_url"].partition("://")
    driver = "postgresql+psycopg" if dialect.lower() in ("postgres", "postgresql") else dialect.lower()
    values["database_url"] = driver + separator + rest
    # Celery's `CERT_NONE` becomes redis-py's `none`.
    checks = re.compile(r"(?<=[?&]ssl_cert_reqs=)[A-Za-z_]+")
    for key in ("redis_url", "rooms_redis_url"):
        values[key] = checks.sub(lambda found: found[0].lower().removeprefix("cert_"), values[key])
        if values["redis_sentinel_password"] and values[key].startswith(SENTINEL_SCHEME):
            separator = "&" if "?" in values[key] else "?"
            values[key] += f"{separator}sentinel_password={quote(values['redis_sentinel_password'], safe='')}"
    values["rooms_redis_url"] = values["rooms_redis_url"] or values["redis_url"]


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
