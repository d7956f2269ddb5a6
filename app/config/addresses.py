"""Checks of addresses. Messages are empty for valid addresses and never show the address: it may hold a password."""

import ipaddress
import re
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from app.config import sentinel
from app.config.origins import normalized

REDIS_FORM = (
    "is not like redis://[:password@]host:port/number, rediss://… or sentinel://…; "
    "special characters in a password are written %XX"
)
DATABASE_FORM = "is not like postgresql://user:password@host:port/name or sqlite:////folder/file.db"
REDIS_OPTIONS = frozenset(
    ("health_check_interval", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "client_name")
)
_TLS = ("cert_reqs", "ca_certs", "ca_path", "certfile", "keyfile", "password", "check_hostname", "ciphers")
TLS_OPTIONS = frozenset(f"ssl_{name}" for name in _TLS)
CERTIFICATE_CHECKS = ("required", "optional", "none")
DATABASES = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
# As SQLAlchemy parses it: a password may contain `/` and `?`.
_SERVER = re.compile(
    r"(?:[^:/]*(?::[^@]*)?@)?(?:\[[^\]/]+\]|[^/:?@]*)(?::(?P<port>[^/?]*))?(?:/(?P<database>[^?]*))?(?:\?(?P<options>.*))?"
)


def redis_fault(url: str) -> str:
    if url.startswith(sentinel.SCHEME):
        return _sentinel_fault(url)
    try:
        parts = urlsplit(url)
        has_blanks = re.search(r"[\s\x00-\x1f\x7f]", url)
        fits = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0 and not has_blanks
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
    from redis.connection import parse_url  # noqa: PLC0415 - start-up time of the command line

    known = REDIS_OPTIONS | TLS_OPTIONS if url.startswith("rediss:") else REDIS_OPTIONS
    options = parse_qs(urlsplit(url).query, keep_blank_values=True)
    fits = known.issuperset(options) and options.get("ssl_cert_reqs", ["required"])[0] in CERTIFICATE_CHECKS
    try:
        parse_url(url)
    except ValueError:
        fits = False
    return "" if fits else f"has unknown options after `?`, or invalid values; known are {', '.join(sorted(known))}"


def plain_redis_url(url: str) -> str:
    """The URL with `ssl_cert_reqs` in redis-py's form: Celery's `CERT_NONE` becomes `none`."""
    written = re.compile(r"(?<=[?&]ssl_cert_reqs=)[A-Za-z_]+")
    return written.sub(lambda found: found[0].lower().removeprefix("cert_"), url)


def broker_redis_url(url: str) -> str:
    """The URL for Celery, which accepts only TLS options and by default verifies no certificate."""
    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items() if name in TLS_OPTIONS}
    if parts.scheme == "rediss":
        options.setdefault("ssl_cert_reqs", "required")
    return urlunsplit(parts._replace(query=urlencode(options)))


def database_fault(url: str) -> str:
    dialect, separator, rest = url.partition("://")
    if not separator or re.search(r"[\x00-\x1f\x7f]", url):
        return DATABASE_FORM
    if dialect not in DATABASES:
        return "is not a supported database: use postgresql://… or sqlite:///…"
    if dialect.startswith("sqlite"):
        return _sqlite_fault(rest)
    found = _SERVER.fullmatch(rest)
    if found is None or not found["database"] or not (found["port"] is None or _is_port(found["port"])):
        return DATABASE_FORM
    return _postgresql_options_fault(found["options"]) if found["options"] else ""


def _sqlite_fault(rest: str) -> str:
    path, _, options = rest.partition("?")
    if path and not path.startswith("/"):
        return DATABASE_FORM
    fits = not options or re.fullmatch(r"[a-z_]+=[^/&]*(?:&[a-z_]+=[^/&]*)*", options)
    return "" if fits else "must have no options after `?`; in a path `?` is written %3F and `%` is written %25"


def _postgresql_options_fault(options: str) -> str:
    from psycopg import ProgrammingError  # noqa: PLC0415 - start-up time of the command line
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - start-up time of the command line

    try:
        make_conninfo(**{name: values[0] for name, values in parse_qs(options, keep_blank_values=True).items()})
    except (ProgrammingError, TypeError):
        return "has options after `?` that PostgreSQL's libpq does not know"
    return ""


def plain_database_url(url: str) -> str:
    """The URL with SQLAlchemy's driver name: `postgres://` and `postgresql://` become `postgresql+psycopg://`."""
    dialect, separator, rest = url.partition("://")
    known = dialect.lower()
    return ("postgresql+psycopg" if known in ("postgres", "postgresql") else known) + separator + rest


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and 0 < int(text) <= sentinel.HIGHEST_PORT


def web_fault(url: str) -> str:
    """The fault of an address that is called over HTTP."""
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
    """Whether a name or address is this machine: `localhost`, 127.0.0.0/8 or `::1`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_loopback_authority(authority: str) -> bool:
    """Whether a Host header names this machine, with any port."""
    try:
        return stays_on_this_machine(normalized(f"http://{authority}"))
    except ValueError:
        return False
