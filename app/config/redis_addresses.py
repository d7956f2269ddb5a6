"""Addresses of Redis: a server, a group with Sentinel, or a cluster. No message shows one: it may hold a password.

Functions named `…_fault` return an empty text for a valid address.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlsplit

from app.config.addresses import HIGHEST_PORT, split

REDIS_FORM = (
    "is not like redis://[:password@]host:port/number, rediss://… or sentinel://…; "
    "special characters in a password are written %XX"
)
SENTINEL_FORM = "is not like sentinel://[:password@]host:port,host:port/service/db"
CLUSTER_FORM = (
    "is not like valkey-cluster://[[user]:password@]host:port,host:port, or rediss-cluster://… for TLS; "
    "a cluster has no database numbers"
)
NOT_CLUSTER = "names a cluster, which Celery cannot use: put it into ROOMS_REDIS_URL"
SENTINEL_SCHEME = "sentinel://"
CLUSTER_SCHEMES = {"redis-cluster": False, "valkey-cluster": False, "rediss-cluster": True, "valkeys-cluster": True}
REDIS_OPTIONS = frozenset(
    ("health_check_interval", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "client_name")
)
_TLS = ("cert_reqs", "ca_certs", "ca_path", "certfile", "keyfile", "password", "check_hostname", "ciphers")
TLS_OPTIONS = frozenset(f"ssl_{name}" for name in _TLS)


def is_cluster(url: str) -> bool:
    return url.partition("://")[0] in CLUSTER_SCHEMES


def redis_fault(url: str) -> str:
    if url.startswith(SENTINEL_SCHEME):
        try:
            parse_sentinel(url)
        except ValueError as fault:
            return str(fault)
        return ""
    if is_cluster(url):
        return NOT_CLUSTER
    parts = split(url)
    if not parts or parts.scheme not in ("redis", "rediss") or parts.fragment:
        return REDIS_FORM
    if not re.fullmatch(r"/?|/[0-9]+", parts.path):
        return REDIS_FORM
    return _options_fault(url, parts.scheme == "rediss")


def _options_fault(url: str, is_encrypted: bool) -> str:
    """What is wrong with the options of an URL that redis-py can parse."""
    query = urlsplit(url).query
    if not query:
        return ""
    from redis.connection import parse_url  # noqa: PLC0415 - start-up time of the command line

    known = REDIS_OPTIONS | TLS_OPTIONS if is_encrypted else REDIS_OPTIONS
    options = parse_qs(query, keep_blank_values=True)
    checks = options.get("ssl_cert_reqs", ["required"])[0]
    fits = known.issuperset(options) and checks in ("required", "optional", "none")
    try:
        parse_url(url)
    except ValueError:
        fits = False
    return "" if fits else f"has unknown options after `?`, or invalid values; known are {', '.join(sorted(known))}"


def rooms_fault(url: str) -> str:
    """As `redis_fault`, and a cluster is valid too."""
    if not is_cluster(url):
        return redis_fault(url)
    try:
        nodes = cluster_nodes(url)
    except ValueError as fault:
        return str(fault)
    return _options_fault(nodes[0], CLUSTER_SCHEMES[url.partition("://")[0]])


def cluster_nodes(url: str) -> list[str]:
    """The URLs of a cluster's seed nodes, as of standalone servers. Raises ValueError without the URL.

    `valkey-cluster://[[user]:password@]host:port,host:port[?options]`: login and options are those of each node.
    """
    scheme, _, rest = url.partition("://")
    before, mark, options = rest.partition("?")
    login, at, hosts = before.removesuffix("/").rpartition("@")
    single = "rediss" if CLUSTER_SCHEMES[scheme] else "redis"
    nodes = [f"{single}://{login}{at}{host.strip()}{mark}{options}" for host in hosts.split(",")]
    for node in nodes:
        parts = split(node)
        if not parts or parts.path or parts.fragment or (parts.port or 1) > HIGHEST_PORT:
            raise ValueError(CLUSTER_FORM)
    return nodes


@dataclass(frozen=True)
class SentinelAddress:
    """Addresses of the sentinels, the service's name and the logins; `repr` shows no password."""

    sentinels: list[tuple[str, int]]
    service: str
    database: int
    login: dict[str, str] = field(repr=False)
    sentinel_login: dict[str, str] = field(repr=False)

    def broker_url(self) -> str:
        """The URL in Celery's form: `sentinel://:password@host:port/db;sentinel://…`."""
        user, password = (quote(self.login.get(key, ""), safe="") for key in ("username", "password"))
        login = f"{user}:{password}@" if self.login else ""
        return ";".join(f"{SENTINEL_SCHEME}{login}{host}:{port}/{self.database}" for host, port in self.sentinels)


def parse_sentinel(url: str) -> SentinelAddress:
    """Parse `sentinel://[user][:password@]host:port,host:port/service[/db]`. Raises ValueError without the URL.

    User and password are those of the Redis servers. The configuration adds the sentinels' own password
    (`REDIS_SENTINEL_PASSWORD`) as `?sentinel_password=…`, so that the URL alone is enough to connect.
    """
    rest, _, query = url.removeprefix(SENTINEL_SCHEME).partition("?")
    before, _, path = rest.partition("/")
    credentials, _, hosts = before.rpartition("@")
    service, _, number = path.partition("/")
    try:
        addresses = [each.strip().rpartition(":") for each in hosts.split(",")]
        sentinels = [(host, int(port)) for host, _, port in addresses]
        database = int(number or 0)
    except ValueError:
        raise ValueError(SENTINEL_FORM) from None
    if not service or not all(host and 0 < port <= HIGHEST_PORT for host, port in sentinels):
        raise ValueError(SENTINEL_FORM)
    user, _, password = credentials.partition(":")
    login = {"username": unquote(user), "password": unquote(password)}
    own = parse_qs(query).get("sentinel_password")
    return SentinelAddress(
        sentinels,
        service,
        database,
        login={name: value for name, value in login.items() if value},
        sentinel_login={"password": own[0]} if own else {},
    )
