"""Whose pages may open a connection: our own origin's, and those of the origins that are configured."""

from collections.abc import Callable
from typing import Any

OriginGate = Callable[[str | None, dict[str, Any]], bool]


def gate(allowed: list[str]) -> OriginGate:
    """The check that Engine.IO asks for each request that names an origin, as every WebSocket of a browser does."""

    def may_connect(origin: str | None, environ: dict[str, Any]) -> bool:
        return "*" in allowed or origin in allowed or origin == _own(environ)

    return may_connect


def _own(environ: dict[str, Any]) -> str:
    """Scheme and host as they were asked for; what a trusted proxy says of them, ProxyFix has put here.

    Engine.IO's own rule takes `X-Forwarded-*` from anybody.
    """
    return f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}"
