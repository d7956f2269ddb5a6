"""The origins whose pages may use the service: CORS for REST, and the origin check of Socket.IO."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from werkzeug.datastructures import Headers

from app.config import Config
from app.config.addresses import ANY, normalized
from app.http.json_body import API_PREFIX

CORS_METHODS = "GET, POST"
CORS_REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id"
CORS_RESPONSE_HEADERS = "ETag, Idempotent-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
CORS_MAX_AGE_SECONDS = "600"
OriginCheck = Callable[[str | None, dict[str, Any]], bool]


def init_app(app: Flask, settings: Config) -> None:
    if settings.origins:
        cors = _Cors(settings.origins)
        app.before_request(cors.answer_preflight)
        app.after_request(cors.add_headers)


class _Cors:
    """Lets pages of the configured origins call the API. Clients send tokens themselves, so credentials stay off."""

    def __init__(self, origins: list[str]) -> None:
        self._origins = frozenset(origins)

    def answer_preflight(self) -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        return Response(status=204)

    def add_headers(self, response: Response) -> Response:
        if not request.path.startswith(API_PREFIX):
            return response
        response.vary.add("Origin")
        origin = request.headers.get("Origin", "")
        if origin and self._is_allowed(origin):
            self._allow(response.headers, origin)
        return response

    def _is_allowed(self, origin: str) -> bool:
        try:
            return ANY in self._origins or normalized(origin) in self._origins
        except ValueError:
            return False

    def _allow(self, headers: Headers, origin: str) -> None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = CORS_RESPONSE_HEADERS
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = CORS_METHODS
            headers["Access-Control-Allow-Headers"] = CORS_REQUEST_HEADERS
            headers["Access-Control-Max-Age"] = CORS_MAX_AGE_SECONDS


def origin_check(allowed: list[str]) -> OriginCheck:
    """The function that Engine.IO calls with a request's origin; the service's own origin is always allowed.

    `allowed` are normalized. Engine.IO's own check compares text and reads `X-Forwarded-*` from any caller.
    """

    def may_connect(origin: str | None, environ: dict[str, Any]) -> bool:
        if ANY in allowed:
            return True
        try:
            caller = normalized(origin or "")
            return caller in allowed or caller == _own_origin(environ)
        except ValueError:
            return False

    return may_connect


def _own_origin(environ: dict[str, Any]) -> str:
    """Scheme and host of the request, the scheme as set by a trusted proxy. Raises ValueError."""
    return normalized(f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}")
