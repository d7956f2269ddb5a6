"""Each path has one spelling: what a proxy's rule for a path says must hold for whatever reaches that path.

`deploy/proxy/haproxy.cfg` refuses the same spellings before they get here.
"""

import re
from typing import Any

from flask import Flask

# Empty and dot segments; escapes of unreserved characters (RFC 3986, 2.3), slash and backslash; a `%` that escapes
# nothing; a backslash.
_OTHER_SPELLING = re.compile(
    r"//|/\.\.?(?:/|$)|%(?:2[d-f]|3[0-9]|4[1-9a-f]|5[0-9acf]|6[1-9a-f]|7[0-9ae])|%(?![0-9a-f]{2})|\\", re.IGNORECASE
)
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_NOWHERE = "/."  # no route begins so, nor does Socket.IO's path


def is_canonical(path: str) -> bool:
    """Whether a path, as it was sent, is spelled in the one way that is answered."""
    return _OTHER_SPELLING.search(path) is None


def init_app(app: Flask) -> None:
    """Have other spellings answered 404 like any path that is not there: by REST, pages and Socket.IO alike."""
    onward = app.wsgi_app

    def refuse_other_spellings(environ: dict[str, Any], start_response: Any) -> Any:
        path = _sent_path(environ)
        if not is_canonical(path):
            environ["PATH_INFO"] = _NOWHERE + path
        return onward(environ, start_response)

    app.wsgi_app = refuse_other_spellings  # type: ignore[method-assign]


def _sent_path(environ: dict[str, Any]) -> str:
    """The path before its escapes were decoded: as eventlet, Werkzeug and others hand it over."""
    names = ("RAW_PATH_INFO", "RAW_URI", "REQUEST_URI", "PATH_INFO")
    target: str = next(environ[name] for name in names if name in environ)
    path = target.partition("?")[0]
    return path if path.startswith("/") else _AUTHORITY.sub("", path, count=1)
