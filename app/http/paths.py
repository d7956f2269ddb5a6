"""Rules for paths that hold before Flask routes a request.

Each path has one spelling, so that a proxy's rule for a path cannot be bypassed by writing the path differently.

`deploy/proxy/haproxy.cfg` rejects the same spellings.
"""

import re
from http import HTTPStatus
from typing import Any

from flask import Flask

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


def is_canonical(path: str) -> bool:
    """Whether a path, as it was sent, has the one accepted spelling."""
    return _OTHER_SPELLING.search(path) is None


def init_app(app: Flask) -> None:
    """Answer other spellings with 404, in REST, pages and Socket.IO alike."""
    wsgi_app = app.wsgi_app

    def reject_other_spellings(environ: dict[str, Any], start_response: Any) -> Any:
        path = _sent_path(environ)
        if not is_canonical(path):
            environ["PATH_INFO"] = _UNKNOWN_PATH + path
        return wsgi_app(environ, start_response)

    app.wsgi_app = reject_other_spellings  # type: ignore[method-assign]


def require_socket_server(app: Flask) -> None:
    """Answer Socket.IO requests with 501 under servers that cannot hand over a connection, such as gunicorn."""
    wsgi_app = app.wsgi_app

    def reject_sockets(environ: dict[str, Any], start_response: Any) -> Any:
        is_socket = environ.get("PATH_INFO", "").startswith(SOCKET_PATH)
        if not is_socket or SERVER_MARK in environ:
            return wsgi_app(environ, start_response)
        status, headers, body = raw_response(
            HTTPStatus.NOT_IMPLEMENTED, SOCKETS_NOT_SERVED, request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        )
        start_response(status, headers)
        return [body]

    app.wsgi_app = reject_sockets  # type: ignore[method-assign]


def _sent_path(environ: dict[str, Any]) -> str:
    """The path with its escapes, under the names that eventlet, Werkzeug and others give it."""
    names = ("RAW_PATH_INFO", "RAW_URI", "REQUEST_URI", "PATH_INFO")
    target: str = next(environ[name] for name in names if name in environ)
    path = target.partition("?")[0]
    return path if path.startswith("/") else _AUTHORITY.sub("", path, count=1)
