"""The web's own rules for all of REST: JSON bodies only, proxies that are trusted, headers that keep browsers safe."""

import ipaddress
import json
from functools import lru_cache
from typing import Any

from flask import Flask, Request, Response, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.middleware.proxy_fix import ProxyFix

from app.config import Config
from app.web.browser_headers import HEADERS, NO_STORE, STRICT_TRANSPORT

API_PREFIX = "/api/"
CORS_METHODS = "GET, POST"
CORS_REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id"
CORS_ANSWER_HEADERS = "ETag, Idempotent-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
CORS_SECONDS = "600"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class StrictRequest(Request):
    """Says in words what is wrong with a body that is not JSON, and takes none for whole that is not."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """As in Werkzeug, which cuts a body in chunks at the limit without a word."""
        data = super().get_data(*args, **kwargs)
        is_chunked = "wsgi.input_terminated" in self.environ
        if is_chunked and len(data) == self.max_content_length and self._goes_on():
            raise RequestEntityTooLarge
        return data

    def _goes_on(self) -> bool:
        try:
            return bool(self.environ["wsgi.input"].read(1))
        except OSError as error:
            raise ClientDisconnected from error

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        raise BadRequest("The body is not valid JSON.") from e


class StrictJson(DefaultJSONProvider):
    """JSON as RFC 8259 has it: UTF-8, no NaN, no infinities; endless nesting is a fault of the text."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            text = s.decode("utf-8-sig") if isinstance(s, bytes) else s  # Python would take UTF-16 and UTF-32 too
            return json.loads(text, parse_constant=_refuse_constant, **kwargs)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _check_body() -> None:
    has_body = request.content_length or request.headers.get("Transfer-Encoding")
    if request.method != "POST" or not has_body or not request.path.startswith(API_PREFIX):
        return
    if not request.is_json:
        raise UnsupportedMediaType("Send JSON: `Content-Type: application/json`.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body as it is: no Content-Encoding is taken.")


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault(*STRICT_TRANSPORT)
    response.headers.setdefault(*NO_STORE)  # what may be kept says so itself
    if request.method == "OPTIONS":
        response.headers.pop("Content-Type", None)  # of nothing: Flask says HTML
    return response


class _Cors:
    """Lets pages of the configured origins call the API. Tokens are sent by hand, so credentials never are."""

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
        if origin and (origin in self._origins or "*" in self._origins):
            self._allow(response.headers, origin)
        return response

    def _allow(self, headers: Headers, origin: str) -> None:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = CORS_ANSWER_HEADERS
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = CORS_METHODS
            headers["Access-Control-Allow-Headers"] = CORS_REQUEST_HEADERS
            headers["Access-Control-Max-Age"] = CORS_SECONDS


def init_app(app: Flask, settings: Config) -> None:
    app.request_class = StrictRequest
    app.url_map.merge_slashes = False  # `//` would be redirected to the Host that the caller names
    app.json = StrictJson(app)
    app.before_request(_check_body)
    app.after_request(_add_headers)
    if settings.origins:
        cors = _Cors(settings.origins)
        app.before_request(cors.answer_preflight)
        app.after_request(cors.add_headers)


def trust_proxies(app: Flask, settings: Config) -> None:
    """Take callers' address and scheme from the trusted proxies' headers; comes last, so that sockets see them too."""
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        onward = app.wsgi_app

        def check_address(environ: dict[str, Any], start_response: Any) -> Any:
            if not _is_address(environ["REMOTE_ADDR"]):
                environ["REMOTE_ADDR"] = environ["werkzeug.proxy_fix.orig"]["REMOTE_ADDR"]
            return onward(environ, start_response)

        app.wsgi_app = check_address  # type: ignore[method-assign]
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


@lru_cache(maxsize=10_000)
def _is_address(text: str) -> bool:
    """Whether it is an IP address; one with a zone is not, for a zone may be any text."""
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False
