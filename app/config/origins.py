"""Web origins (RFC 6454) in one spelling, so that they can be compared as text."""

import ipaddress
import re

ANY, OPAQUE = "*", "null"
FORM = (
    "is not like https://app.example, https://app.example:8443, http://[::1]:3000 or capacitor://localhost "
    "(scheme, host and port alone; no path, no wildcard within), nor `null` or `*`"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAME_SCHEME = {"ws": "http", "wss": "https"}
_HIGHEST_PORT = 65535
_MAX_HOST = 253
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]*)(?::(?P<port>[0-9]{0,5}))?/?",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)?")


def normalized(text: str) -> str:
    """The origin with scheme and host in lower case, `wss` as `https`, without the scheme's default port.

    Internationalized names become Punycode, IPv6 addresses their shortest form; a final dot of the host and a final
    slash are removed. Apps' own schemes (`capacitor://localhost`, `file://`) and `null` are origins too.
    Raises ValueError, whose text describes the form of an origin.
    """
    if text.lower() == OPAQUE:
        return OPAQUE
    found = _ORIGIN.fullmatch(text)
    if not found:
        raise ValueError(FORM)
    named = found["scheme"].lower()
    scheme = _SAME_SCHEME.get(named, named)
    host = _host(found["host"])
    default_port = _DEFAULT_PORTS.get(scheme)
    port = int(found["port"]) if found["port"] else default_port
    if (default_port and not host) or (port is not None and not 0 < port <= _HIGHEST_PORT):
        raise ValueError(FORM)
    return f"{scheme}://{host}" + ("" if port == default_port else f":{port}")


def _host(text: str) -> str:
    """Raises ValueError (UnicodeError is one)."""
    if text.startswith("["):
        return f"[{ipaddress.IPv6Address(text[1:-1])}]"
    if len(text) > _MAX_HOST:
        raise ValueError(FORM)
    host = text.removesuffix(".")
    ascii_host = (host if host.isascii() else host.encode("idna").decode()).lower()
    if not _HOST.fullmatch(ascii_host):
        raise ValueError(FORM)
    return ascii_host
