"""Whose pages may open a connection: our own origin's, and those of the origins that are configured."""

from collections.abc import Callable
from typing import Any

from app.config.origins import ANY, normalized

OriginGate = Callable[[str | None, dict[str, Any]], bool]


def gate(allowed: list[str]) -> OriginGate:
    """The check that Engine.IO asks for each request that names an origin, as every WebSocket of a browser does.

    `allowed` are normalized. Engine.IO's own rule compares text, and takes `X-Forwarded-*` from anybody.
    """

    def may_connect(origin: str | None, environ: dict[str, Any]) -> bool:
        if ANY in allowed:
            return True
        try:
            caller = normalized(origin or "")
            return caller in allowed or caller == _own(environ)
        except ValueError:
            return False

    return may_connect


def _own(environ: dict[str, Any]) -> str:
    """Scheme and host as they were asked for; the scheme as a trusted proxy tells it. Raises ValueError."""
    return normalized(f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}")
