"""Typed settings from the environment, checked at start; all faults are reported at once.

`settings.py` lists the settings, `checks.py` checks them together. Any setting may come from a file:
`NAME_FILE=/run/secrets/name`.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from marshmallow import ValidationError
from marshmallow import fields as schema_fields

from app.config.addresses import SENTINEL_SCHEME, plain_database_url, plain_redis_url
from app.config.checks import cross_check
from app.config.settings import Config

__all__ = ["Config", "ConfigError", "load_config"]

UNDER_UP = "DASHBOARD_UNDER_UP"  # set by `dashboard up` for its processes
KEY_FILE = "signing.key"
REDIS_URL_FILE = "run/redis.url"
DATABASE_FILE = "dashboard.db"
_KINDS = {"str": schema_fields.String, "int": schema_fields.Integer, "float": schema_fields.Float}


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
    values, unreadable = _read_all(environ)
    try:
        values = _with_embedded_defaults(values)
    except (OSError, UnicodeError) as error:
        unreadable["DASHBOARD_HOME"] = [str(error)]
    faults: dict[str, list[str]] = defaultdict(list, unreadable)
    for name, fault in cross_check(values, offline=offline, under_up=environ.get(UNDER_UP) == "1"):
        if name not in unreadable:
            faults[name].append(fault)
    if faults:
        raise ConfigError(dict(faults))
    return Config(**values)


def _read_all(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """All settings, and the faults of those that cannot be read, which keep their defaults."""
    values: dict[str, Any] = {}
    faults: dict[str, list[str]] = {}
    for each in fields(Config):
        name = each.metadata["env"]
        values[each.name] = each.default
        try:
            values[each.name] = _read(environ, each.metadata)
        except ValidationError as fault:
            faults[name] = [str(message) for message in fault.messages]
        except OSError as fault:
            faults[name] = [str(fault)]
        except UnicodeDecodeError:
            faults[name] = [f"{environ[f'{name}_FILE']} is not text"]
    return values, faults


def _read(environ: Mapping[str, str], meta: Mapping[str, Any]) -> Any:
    name = meta["env"]
    text, file = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()
    if not text and file:
        text = Path(file).read_text(encoding="utf-8").strip()
    if not text:
        return meta["default"]
    if not _is_text(text):
        raise ValidationError("holds bytes that are not UTF-8")
    return _KINDS[meta["kind"]](validate=meta["check"]).deserialize(text)


def _with_embedded_defaults(values: dict[str, Any]) -> dict[str, Any]:
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
    values["database_url"] = plain_database_url(values["database_url"])
    values["redis_url"] = plain_redis_url(values["redis_url"])
    if values["redis_sentinel_password"] and values["redis_url"].startswith(SENTINEL_SCHEME):
        separator = "&" if "?" in values["redis_url"] else "?"
        password = quote(values["redis_sentinel_password"], safe="")
        values["redis_url"] += f"{separator}sentinel_password={password}"
    return values


def _is_text(value: str) -> bool:
    """Whether the value is valid UTF-8: Python decodes other bytes of the environment to lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
