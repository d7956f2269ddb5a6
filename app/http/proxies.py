"""The caller's address and scheme behind trusted proxies.

Own code in place of Werkzeug's ProxyFix, which takes an address with a port for no address and `wss` for a scheme of
its own. `X-Forwarded-Host` and `Forwarded` are ignored: most proxies pass them on from the caller unchanged.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from flask import Flask

from app.config import Config

WsgiApp = Callable[[dict[str, Any], Any], Any]
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_FORWARDED_ADDRESS = re.compile(r"\[(?P<v6>[^]%]+)\](?::[0-9]+)?|(?P<v4>[0-9.]+)(?::[0-9]+)?|(?P<bare>[^%]+)")


def init_app(app: Flask, settings: Config) -> None:
    if settings.trusted_proxies:
        app.wsgi_app = forwarded_by(settings.trusted_proxies, app.wsgi_app)  # type: ignore[assignment]


def forwarded_by(hops: int, wsgi_app: WsgiApp) -> WsgiApp:
    """WSGI middleware: set the caller's address and scheme from the headers that `hops` trusted proxies set.

    A caller that forges a scheme changes only the responses to itself.
    """

    def read_forwarded(environ: dict[str, Any], start_response: Any) -> Any:
        addresses = _items(environ.get("HTTP_X_FORWARDED_FOR", ""))
        if len(addresses) >= hops and (address := _parse_address(addresses[-hops])):
            environ["REMOTE_ADDR"] = address
        schemes = _items(environ.get("HTTP_X_FORWARDED_PROTO", ""))
        if schemes and (scheme := _SCHEMES.get(schemes[0].lower())):
            environ["wsgi.url_scheme"] = scheme
        return wsgi_app(environ, start_response)

    return read_forwarded


def _items(header: str) -> list[str]:
    return [each.strip() for each in header.split(",") if each.strip()]


def _parse_address(text: str) -> str:
    """The IP address in `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.

    Empty when there is none; an address with a zone is rejected, because a zone may be any text.
    """
    found = _FORWARDED_ADDRESS.fullmatch(text)
    try:
        address = ipaddress.ip_address(found["v6"] or found["v4"] or found["bare"]) if found else None
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address or "")
