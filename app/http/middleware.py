"""The web's own rules for all of REST: JSON bodies only, proxies that are trusted, headers that keep browsers safe."""

import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType

from app.config import Config
from app.config.origins import ANY, normalized
from app.http.browser_headers import HEADERS, NO_STORE, STRICT_TRANSPORT

API_PREFIX = "/api/"
CORS_METHODS = "GET, POST"
CORS_REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id"
CORS_ANSWER_HEADERS = "ETag, Idempotent-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
CORS_SECONDS = "600"
WsgiApp = Callable[[dict[str, Any], Any], Any]
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_FORWARDED_ADDRESS = re.compile(r"\[(?P<v6>[^]%]+)\](?::[0-9]+)?|(?P<v4>[0-9.]+)(?::[0-9]+)?|(?P<bare>[^%]+)")


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
    if request.method == "OPTIONS" and response.mimetype == "text/html":
        response.headers.pop("Content-Type", None)  # of nothing
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
        app.wsgi_app = forwarded_by(settings.trusted_proxies, app.wsgi_app)  # type: ignore[assignment]


def forwarded_by(hops: int, onward: WsgiApp) -> WsgiApp:
    """WSGI: the caller's address and scheme as `hops` trusted proxies tell them.

    Own code in place of Werkzeug's ProxyFix, which takes an address with its port for no address and `wss` for a
    scheme of its own. `X-Forwarded-Host` and `Forwarded` are not read: most proxies pass on what callers put there.
    A caller who invents a scheme changes nothing but the answers to himself.
    """

    def read_forwarded(environ: dict[str, Any], start_response: Any) -> Any:
        addresses = _listed(environ.get("HTTP_X_FORWARDED_FOR", ""))
        if len(addresses) >= hops and (address := _address_in(addresses[-hops])):
            environ["REMOTE_ADDR"] = address
        schemes = _listed(environ.get("HTTP_X_FORWARDED_PROTO", ""))
        if schemes and (scheme := _SCHEMES.get(schemes[0].lower())):
            environ["wsgi.url_scheme"] = scheme
        return onward(environ, start_response)

    return read_forwarded


def _listed(header: str) -> list[str]:
    return [each.strip() for each in header.split(",") if each.strip()]


def _address_in(text: str) -> str:
    """The IP address of `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.

    Empty when it is none; one with a zone is none, for a zone may be any text.
    """
    found = _FORWARDED_ADDRESS.fullmatch(text)
    try:
        address = ipaddress.ip_address(found["v6"] or found["v4"] or found["bare"]) if found else None
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address or "")
