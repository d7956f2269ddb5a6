"""Request bodies are JSON as RFC 8259 defines it: UTF-8, complete, uncompressed, without NaN."""

import json
from typing import Any

from flask import Flask, Request, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType

API_PREFIX = "/api/"


def init_app(app: Flask) -> None:
    app.request_class = StrictRequest
    app.json = StrictJSONProvider(app)
    app.before_request(_check_body)


class StrictRequest(Request):
    """A request that rejects a chunked body over the limit, which Werkzeug truncates silently."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        data = super().get_data(*args, **kwargs)
        is_chunked = "wsgi.input_terminated" in self.environ
        if is_chunked and len(data) == self.max_content_length and self._has_more():
            raise RequestEntityTooLarge
        return data

    def _has_more(self) -> bool:
        try:
            return bool(self.environ["wsgi.input"].read(1))
        except OSError as error:
            raise ClientDisconnected from error

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        raise BadRequest("The body is not valid JSON.") from e


class StrictJSONProvider(DefaultJSONProvider):
    """Rejects NaN, infinities, UTF-16 and UTF-32, all of which Python's `json` accepts, and too deep nesting."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            text = s.decode("utf-8-sig") if isinstance(s, bytes) else s
            return json.loads(text, parse_constant=_reject_constant, **kwargs)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check_body() -> None:
    has_body = request.content_length or request.headers.get("Transfer-Encoding")
    if request.method != "POST" or not has_body or not request.path.startswith(API_PREFIX):
        return
    if not request.is_json:
        raise UnsupportedMediaType("Send JSON: `Content-Type: application/json`.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body uncompressed: no Content-Encoding is supported.")
