"""flask-smorest as the REST features use it: one `Api`, their `Blueprint`, and strict parsing of JSON (RFC 8259)."""

import json
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

import flask_smorest
from flask import Flask, Request, request
from flask.json.provider import DefaultJSONProvider
from webargs.core import missing
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType

from app.core.errors import DomainError
from app.http.responses import API_PREFIX


class StrictParser(FlaskParser):
    """Reads bodies with the application's JSON provider: webargs' own accepts NaN and crashes on deep nesting."""

    def load_json(self, req: Any, schema: Any) -> Any:
        del schema
        return req.get_json() if req.is_json and req.get_data() else missing

    def load_querystring(self, req: Any, schema: Any) -> Any:
        """The query's parameters without empty ones: a form sends `?status=` for a filter that is not set."""
        filled = [(name, value) for name, value in req.args.items(multi=True) if value]
        return self._makeproxy(MultiDict(filled), schema)


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    ARGUMENTS_PARSER = StrictParser()

    def arguments(self, schema: Any, **kwargs: Any) -> Any:
        """As flask-smorest's, but with one schema for all requests: webargs makes one of a class for each."""
        return super().arguments(schema() if isinstance(schema, type) else schema, **kwargs)

    def register_views_in_doc(self, api: "Api", *args: Any, **kwargs: Any) -> None:
        """Leave it to `Api.document`: it takes half of the time of creating an application."""
        api.descriptions.append(partial(super().register_views_in_doc, api, *args, **kwargs))


class Api(flask_smorest.Api):  # type: ignore[misc]
    """Describes the views when the document is first read."""

    def init_app(self, app: Flask, **options: Any) -> None:
        self._lock = Lock()
        self.descriptions: list[Callable[[], None]] = []
        super().init_app(app, **options)
        self._generate, self.spec.to_dict = self.spec.to_dict, self.document

    def _register_responses(self) -> None:
        """Leave it to `document` too: it takes half of the remaining time."""
        self.descriptions.append(super()._register_responses)

    def document(self) -> dict[str, Any]:
        """The document with every view that was registered so far."""
        with self._lock:
            while self.descriptions:
                self.descriptions.pop(0)()
        return dict(self._generate())


api = Api()


def raises(*errors: type[DomainError]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Name the 404 and 409 errors of a view, for the API document, that its path and decorators do not imply."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        view.error_codes = tuple(error.code for error in errors)  # type: ignore[attr-defined]
        return view

    return decorate


class StrictRequest(Request):
    """A request that rejects a chunked body over the limit, which Werkzeug truncates silently."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        data = super().get_data(*args, **kwargs)
        if "wsgi.input_terminated" in self.environ and len(data) == self.max_content_length:
            try:
                has_more = bool(self.environ["wsgi.input"].read(1))
            except OSError as error:
                raise ClientDisconnected from error
            if has_more:
                raise RequestEntityTooLarge
        return data

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


def accept_only_json(app: Flask) -> None:
    """Read bodies strictly, and answer 415 to a POST to the API whose body is not declared as plain JSON."""
    app.request_class = StrictRequest
    app.json = StrictJSONProvider(app)

    @app.before_request
    def check_body() -> None:
        has_body = request.content_length or request.headers.get("Transfer-Encoding")
        if request.method != "POST" or not has_body or not request.path.startswith(API_PREFIX):
            return
        if not request.is_json:
            raise UnsupportedMediaType("Send JSON: `Content-Type: application/json`.")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("Send the body uncompressed: no Content-Encoding is supported.")
