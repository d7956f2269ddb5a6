"""What is added to every response: security headers, CORS and compression; and the origin check of Socket.IO.

Compression shrinks a busy protocol's snapshot to a tenth. No response holds a secret next to text that a caller chose,
so the length of a compressed response reveals nothing (BREACH).
"""

import gzip
from collections.abc import Callable
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request

from app.config import Config
from app.config.addresses import ANY, normalized

API_PREFIX = "/api/"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")
NO_STORE = ("Cache-Control", "no-store")
CORS_HEADERS = {
    "Access-Control-Expose-Headers": (
        "Content-Disposition, ETag, Idempotent-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
}
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-Id"
    ),
    "Access-Control-Max-Age": "600",
}
MIN_SIZE, MAX_SIZE = 1024, 4 * 1024 * 1024
MAX_ACCEPT = 512  # parsing a header of 8 KiB takes as long as ten requests
FAST, BEST = 1, 9
COMPRESSED_TYPES = ("text/", "application/json", "application/javascript", "application/problem+json", "image/svg+xml")

_normalized = lru_cache(maxsize=256)(normalized)  # a page sends the same origin with each request


class CompressibleBody:
    """A body for many callers: compressed once, for the first caller that accepts it."""

    def __init__(self, plain: bytes, level: int = FAST) -> None:
        self.plain, self._level = plain, level

    @cached_property
    def _compressed(self) -> bytes:
        return gzip.compress(self.plain, self._level, mtime=0)

    def response(self, content_type: str) -> Response:
        response = Response(self.plain, content_type=content_type)
        response.vary.add("Accept-Encoding")
        if _is_gzip_wanted(response):
            response.set_data(self._compressed)
            response.content_encoding = "gzip"
        return response


def _is_gzip_wanted(response: Response) -> bool:
    """Whether the response is worth compressing and its caller accepts that."""
    content_type, size = response.content_type or "", response.content_length or 0
    if size < MIN_SIZE or not content_type.startswith(COMPRESSED_TYPES):
        return False
    response.vary.add("Accept-Encoding")
    return accepts_gzip()


def accepts_gzip() -> bool:
    accepted = request.headers.get("Accept-Encoding", "")
    return len(accepted) <= MAX_ACCEPT and request.accept_encodings.quality("gzip") > 0


def init_app(app: Flask, settings: Config) -> None:
    app.after_request(_compress)
    app.after_request(_add_headers)
    if settings.origins:
        _allow_origins(app, settings.origins)


def _compress(response: Response) -> Response:
    """Compress responses without a CompressibleBody. Their ETag becomes weak (RFC 9110, 8.8.3.3)."""
    if response.content_encoding is None and _is_gzip_wanted(response):
        is_part = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if not is_part and (response.content_length or 0) <= MAX_SIZE:
            response.direct_passthrough = False
            response.set_data(gzip.compress(response.get_data(), FAST, mtime=0))
            response.content_encoding = "gzip"
    if response.content_encoding is not None and (tag := response.get_etag()[0]):
        response.set_etag(tag, weak=True)
    return response


def _add_headers(response: Response) -> Response:
    present = {name.lower() for name, _ in response.headers}  # `setdefault` goes through all headers for each
    added = (*HEADERS.items(), NO_STORE)  # cacheable responses set their own
    for name, value in (*added, STRICT_TRANSPORT) if request.is_secure else added:
        if name.lower() not in present:
            response.headers.add(name, value)
    if request.method == "OPTIONS" and response.mimetype == "text/html":
        response.headers.pop("Content-Type", None)  # the body is empty
    return response


def _allow_origins(app: Flask, allowed: list[str]) -> None:
    """Let pages of these origins call the API. Clients send tokens themselves, so credentials stay off."""

    @app.before_request
    def answer_preflight() -> Response | None:
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return Response(status=204) if is_preflight else None

    @app.after_request
    def add_cors_headers(response: Response) -> Response:
        if not request.path.startswith(API_PREFIX):
            return response
        response.vary.add("Origin")
        origin = request.headers.get("Origin", "")
        if origin and _is_allowed(origin, allowed):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers.update(CORS_HEADERS)
            if request.method == "OPTIONS":
                response.headers.update(PREFLIGHT_HEADERS)
        return response


def _is_allowed(origin: str, allowed: list[str]) -> bool:
    """Whether the origin is one of `allowed`, which are normalized."""
    try:
        return ANY in allowed or _normalized(origin) in allowed
    except ValueError:
        return False


def origin_check(allowed: list[str]) -> Callable[[str | None, dict[str, Any]], bool]:
    """Engine.IO's own check compares text and reads `X-Forwarded-*` from any caller. The own origin is allowed."""

    def may_connect(origin: str | None, environ: dict[str, Any]) -> bool:
        try:
            own = _normalized(f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}")
        except ValueError:
            return _is_allowed(origin or "", allowed)
        return _is_allowed(origin or "", [own, *allowed])

    return may_connect
