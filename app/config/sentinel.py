"""Redis behind Sentinel as one URL: `sentinel://[user][:password@]host:port,host:port/service[/db]`.

User and password are those of the servers that the sentinels name. The sentinels' own password goes along as
`?sentinel_password=…`, which the configuration adds (`REDIS_SENTINEL_PASSWORD`): whoever has the URL has all of it.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote

SCHEME = "sentinel://"
HIGHEST_PORT = 65535
FORM = "is not like sentinel://[:password@]host:port,host:port/service/db"


@dataclass(frozen=True)
class SentinelAddress:
    """Where the sentinels are, what they are asked for and how to log in; shows no password."""

    sentinels: list[tuple[str, int]]
    service: str
    database: int
    login: dict[str, str] = field(default_factory=dict, repr=False)
    sentinel_login: dict[str, str] = field(default_factory=dict, repr=False)


def parse(url: str) -> SentinelAddress:
    """Take a `sentinel://` URL apart. Raises ValueError, whose text shows nothing of the URL."""
    rest, _, query = url.removeprefix(SCHEME).partition("?")
    before, _, service = rest.partition("/")
    credentials, _, hosts = before.rpartition("@")
    service, _, number = service.partition("/")
    try:
        sentinels = [_host_and_port(each.strip()) for each in hosts.split(",")]
        database = int(number or 0)
    except ValueError:
        raise ValueError(FORM) from None
    if not service:
        raise ValueError(FORM)
    user, _, password = credentials.partition(":")
    login = {"username": unquote(user), "password": unquote(password)}
    own = parse_qs(query).get("sentinel_password", [""])[0]
    return SentinelAddress(sentinels, service, database, _filled(login), _filled({"password": own}))


def with_password(url: str, password: str) -> str:
    """The URL with the sentinels' own password."""
    return f"{url}{'&' if '?' in url else '?'}sentinel_password={quote(password, safe='')}"


def broker_url(address: SentinelAddress) -> str:
    """Celery's own form: `sentinel://:password@host:port/db;sentinel://…`."""
    user, password = (quote(address.login.get(key, ""), safe="") for key in ("username", "password"))
    login = f"{user}:{password}@" if address.login else ""
    return ";".join(f"{SCHEME}{login}{host}:{port}/{address.database}" for host, port in address.sentinels)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not 0 < int(port) <= HIGHEST_PORT:
        raise ValueError(FORM)
    return host, int(port)


def _filled(login: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in login.items() if value}
