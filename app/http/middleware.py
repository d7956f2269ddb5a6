"""WSGI middleware around Flask and Socket.IO: one spelling of paths, and the caller's address behind trusted proxies.

Each path has one spelling, so that a proxy's rule for a path cannot be bypassed by writing the path differently;
`deploy/proxy/haproxy.cfg` rejects the same spellings. Werkzeug's ProxyFix takes an address with a port for no address
and `wss` for a scheme of its own. `X-Forwarded-Host` and `Forwarded` are ignored: most proxies pass them on unchanged.
"""

import ipaddress
import re
from http import HTTPStatus
from typing import Any

from flask import Flask

from app.config import Config
from app.http.problems import raw_response
from app.observability.requests import request_id

SOCKET_PATH = "/socket.io"
SERVER_MARK = "eventlet.input"  # set by the server of `dashboard web`
SOCKETS_NOT_SERVED = "This server serves REST alone: Socket.IO needs the server of `dashboard web`."

# Empty and dot segments; escapes of unreserved characters (RFC 3986, 2.3), slash and backslash; a `%` without two hex
# digits; a backslash.
_OTHER_SPELLING = re.compile(
    r"//|/\.\.?(?:/|$)|%(?:2[d-f]|3[0-9]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9ae])|%(?![0-9a-f]{2})|\\", re.IGNORECASE
)
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_UNKNOWN_PATH = "/."  # no route starts with it, nor does Socket.IO's path
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_FORWARDED_ADDRESS = re.compile(r"\[(?P<v6>[^]%]+)\](?::[0-9]+)?|(?P<v4>[0-9.]+)(?::[0-9]+)?|(?P<bare>[^%]+)")


def init_app(app: Flask, settings: Config) -> None:
    """Answer other spellings of paths with 404, and Socket.IO with 501 under servers that cannot hand over a socket."""
    wsgi_app, hops = app.wsgi_app, settings.trusted_proxies

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        path = _sent_path(environ)
        if not is_canonical(path):
            environ["PATH_INFO"] = _UNKNOWN_PATH + path
        if hops:
            read_forwarded(environ, hops)
        if SERVER_MARK in environ or not environ.get("PATH_INFO", "").startswith(SOCKET_PATH):
            return wsgi_app(environ, start_response)
        id_of_request = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        status, headers, body = raw_response(HTTPStatus.NOT_IMPLEMENTED, SOCKETS_NOT_SERVED, id_of_request)
        start_response(status, headers)
        return [body]

    app.wsgi_app = serve  # type: ignore[method-assign]


def _sent_path(environ: dict[str, Any]) -> str:
    """The path with its escapes, under the names that eventlet, Werkzeug and others give it."""
    names = ("RAW_PATH_INFO", "RAW_URI", "REQUEST_URI", "PATH_INFO")
    target: str = next(environ[name] for name in names if name in environ)
    path = target.partition("?")[0]
    return path if path.startswith("/") else _AUTHORITY.sub("", path, count=1)


def is_canonical(path: str) -> bool:
    """Whether a path, as it was sent, has the one accepted spelling."""
    return _OTHER_SPELLING.search(path) is None


def read_forwarded(environ: dict[str, Any], hops: int) -> None:
    """Set the caller's address and scheme from the headers that `hops` trusted proxies set."""
    addresses = _items(environ.get("HTTP_X_FORWARDED_FOR", ""))
    if len(addresses) >= hops and (address := _parse_address(addresses[-hops])):
        environ["REMOTE_ADDR"] = address
    schemes = _items(environ.get("HTTP_X_FORWARDED_PROTO", ""))
    if schemes and (scheme := _SCHEMES.get(schemes[0].lower())):
        environ["wsgi.url_scheme"] = scheme


def _items(header: str) -> list[str]:
    return [each.strip() for each in header.split(",") if each.strip()]


def _parse_address(text: str) -> str:
    """The IP address, which may have brackets and a port; empty when it is invalid or has a zone, which is any text."""
    found = _FORWARDED_ADDRESS.fullmatch(text)
    try:
        address = ipaddress.ip_address(found["v6"] or found["v4"] or found["bare"]) if found else None
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address or "")
