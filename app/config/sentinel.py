"""Redis behind Sentinel as one URL: `sentinel://[user][:password@]host:port,host:port/service[/db]`.

User and password are those of the Redis servers. The configuration adds the sentinels' own password
(`REDIS_SENTINEL_PASSWORD`) as `?sentinel_password=…`, so that the URL alone is enough to connect.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote

SCHEME = "sentinel://"
HIGHEST_PORT = 65535
FORM = "is not like sentinel://[:password@]host:port,host:port/service/db"


@dataclass(frozen=True)
class SentinelAddress:
    """Addresses of the sentinels, the service's name and the logins; `repr` shows no password."""

    sentinels: list[tuple[str, int]]
    service: str
    database: int
    login: dict[str, str] = field(default_factory=dict, repr=False)
    sentinel_login: dict[str, str] = field(default_factory=dict, repr=False)


def parse(url: str) -> SentinelAddress:
    """Parse a `sentinel://` URL. Raises ValueError, whose text shows nothing of the URL."""
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
    """The URL in Celery's form: `sentinel://:password@host:port/db;sentinel://…`."""
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
