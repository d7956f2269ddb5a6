"""Addresses of databases, services and web origins. No message shows an address: it may hold a password.

Functions named `…_fault` return an empty text for a valid address.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

DATABASE_FORM = "is not like postgresql://user:password@host:port/name or sqlite:////folder/file.db"
ORIGIN_FORM = (
    "is not like https://app.example, https://app.example:8443, http://[::1]:3000 or capacitor://localhost "
    "(scheme, host and port alone; no path, no wildcard within), nor `null` or `*`"
)
NETWORK_FORM = "is not like 10.1.0.0/16 or fd00:1::/32, comma-separated, without host bits"
HIGHEST_PORT = 65535

ANY, OPAQUE = "*", "null"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_HOST = 253
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]*)(?::(?P<port>[0-9]{0,5}))?/?",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def split(url: str) -> SplitResult | None:
    """The parts of a URL; None without a host, with an invalid port, or with white space or controls."""
    try:
        parts = urlsplit(url)
        fits = parts.hostname and parts.port != 0 and not re.search(r"[\s\x00-\x1f\x7f]", url)
    except ValueError:
        return None
    return parts if fits else None


def networks(listed: str) -> tuple[Network, ...]:
    """The networks of a comma-separated list. Raises ValueError."""
    return tuple(ipaddress.ip_network(each.strip()) for each in listed.split(",") if each.strip())


def database_fault(url: str) -> str:
    dialect, separator, rest = url.partition("://")
    if not separator or re.search(r"[\x00-\x1f\x7f]", url):
        return DATABASE_FORM
    if dialect == "postgresql+psycopg":
        return _postgresql_fault(url)
    if dialect not in ("sqlite", "sqlite+pysqlite"):
        return "is not a supported database: use postgresql://… or sqlite:///…"
    path, _, options = rest.partition("?")
    if path and not path.startswith("/"):
        return DATABASE_FORM
    if options and not re.fullmatch(r"[a-z_]+=[^/&]*(?:&[a-z_]+=[^/&]*)*", options):
        return "must have no options after `?`; in a path `?` is written %3F and `%` is written %25"
    return ""


def _postgresql_fault(url: str) -> str:
    from psycopg import ProgrammingError  # noqa: PLC0415 - start-up time of the command line
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - start-up time of the command line
    from sqlalchemy import make_url  # noqa: PLC0415 - start-up time of the command line
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - start-up time of the command line

    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        return DATABASE_FORM
    if not parts.database or not (parts.port is None or 0 < parts.port <= HIGHEST_PORT):
        return DATABASE_FORM
    try:
        make_conninfo(**{name: str(value) for name, value in parts.query.items()})
    except (ProgrammingError, TypeError):
        return "has options after `?` that PostgreSQL's libpq does not know"
    return ""


def normalized(text: str) -> str:
    """The web origin (RFC 6454) in one spelling, so that origins can be compared as text.

    Scheme and host are in lower case, `wss` is `https`, the scheme's default port is omitted. Internationalized names
    become Punycode, IPv6 addresses their shortest form; a final dot of the host and a final slash are removed.
    Apps' own schemes (`capacitor://localhost`, `file://`) and `null` are origins too.
    Raises ValueError.
    """
    if text.lower() == OPAQUE:
        return OPAQUE
    found = _ORIGIN.fullmatch(text)
    if not found or len(found["host"]) > _MAX_HOST:
        raise ValueError(ORIGIN_FORM)
    named = found["scheme"].lower()
    scheme = {"ws": "http", "wss": "https"}.get(named, named)
    host = found["host"].removesuffix(".")
    if host.startswith("["):
        host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
    else:
        host = (host if host.isascii() else host.encode("idna").decode()).lower()
        if not _HOST.fullmatch(host):
            raise ValueError(ORIGIN_FORM)
    default_port = _DEFAULT_PORTS.get(scheme)
    port = int(found["port"]) if found["port"] else default_port
    if (default_port and not host) or (port is not None and not 0 < port <= HIGHEST_PORT):
        raise ValueError(ORIGIN_FORM)
    return f"{scheme}://{host}" + ("" if port == default_port else f":{port}")


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine: `localhost`, 127.0.0.0/8 or `::1`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_loopback_authority(authority: str) -> bool:
    """Whether a Host header names this machine, with any port."""
    try:
        return is_loopback(urlsplit(normalized(f"http://{authority}")).hostname or "")
    except ValueError:
        return False
