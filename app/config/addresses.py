"""What is wrong with an address, in words that show nothing of it (it may hold a password); empty when nothing is."""

import ipaddress
import re
from urllib.parse import urlsplit

from app.config import sentinel
from app.config.origins import normalized

REDIS_FORM = (
    "is not like redis://[:password@]host:port/number, rediss://… or sentinel://…; "
    "what is special in a password is written %XX"
)
DATABASE_FORM = "is not like postgresql://user:password@host:port/name or sqlite:////folder/file.db"
DATABASES = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
# As SQLAlchemy reads it: a password may hold what would end it elsewhere.
_SERVER = re.compile(
    r"(?:[^:/]*(?::[^@]*)?@)?(?:\[[^\]/]+\]|[^/:?@]*)(?::(?P<port>[^/?]*))?(?:/(?P<database>[^?]*))?(?:\?.*)?"
)


def redis_fault(url: str) -> str:
    if url.startswith(sentinel.SCHEME):
        return _sentinel_fault(url)
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
    except ValueError:
        return REDIS_FORM
    if not fits or not re.fullmatch(r"/?|/[0-9]+", parts.path) or parts.fragment:
        return REDIS_FORM
    return _redis_options_fault(url) if parts.query else ""


def _sentinel_fault(url: str) -> str:
    try:
        sentinel.parse(url)
    except ValueError as fault:
        return str(fault)
    return ""


def _redis_options_fault(url: str) -> str:
    from redis.connection import parse_url

    try:
        parse_url(url)
    except (ValueError, TypeError):
        return "has options behind `?` that are none of redis-py's"
    return ""


def database_fault(url: str) -> str:
    dialect, separator, rest = url.partition("://")
    if not separator:
        return DATABASE_FORM
    if dialect not in DATABASES:
        return "is of no supported kind: use postgresql://… or sqlite:///…"
    if dialect.startswith("sqlite"):
        return "" if rest == "" or rest.startswith("/") else DATABASE_FORM
    found = _SERVER.fullmatch(rest)
    if found is None or not found["database"]:
        return DATABASE_FORM
    return "" if found["port"] is None or _is_port(found["port"]) else DATABASE_FORM


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and 0 < int(text) <= sentinel.HIGHEST_PORT


def web_fault(url: str) -> str:
    """Of an address that is called over HTTP."""
    if not url.startswith(("http://", "https://")):
        return "must start with http:// or https://"
    try:
        parts = urlsplit(url)
        fits = parts.hostname and parts.port != 0 and not re.search(r"\s", url)
    except ValueError:
        fits = False
    return "" if fits else "is not like https://host:port/path"


def holds_credentials(url: str) -> bool:
    return "@" in urlsplit(url).netloc


def stays_on_this_machine(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own: `localhost`, 127.0.0.0/8 or `::1`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_loopback_authority(authority: str) -> bool:
    """Whether a Host header names this machine itself, with any port."""
    try:
        return stays_on_this_machine(normalized(f"http://{authority}"))
    except ValueError:
        return False
