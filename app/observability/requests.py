"""The request id, which follows a request through outbox and tasks to the event, and the request metrics."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uuid_utils
from flask import Flask, Response, g, has_app_context, request

from app.observability import metrics

REQUEST_ID_HEADER = "X-Request-Id"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def request_id(given: str) -> str:
    """The id that the caller gave, or a new one if that is missing or malformed."""
    return given if _ACCEPTABLE_ID.fullmatch(given) else uuid_utils.uuid7().hex


def current_request_id() -> str:
    """The id of the request that caused the present work; empty when there is none, as in a scheduled task."""
    return str(g.get("request_id", "")) if has_app_context() else ""


@contextmanager
def on_behalf_of(request_id: str) -> Iterator[None]:
    """Log records and tasks made inside carry this id; needs an app context."""
    before = g.get("request_id", "")
    g.request_id = request_id
    try:
        yield
    finally:
        g.request_id = before


def init_app(app: Flask) -> None:
    @app.before_request
    def _begin() -> None:
        g.request_id = request_id(request.headers.get(REQUEST_ID_HEADER, ""))
        g.started = time.perf_counter()

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers[REQUEST_ID_HEADER] = g.get("request_id", "")
        route = request.url_rule.rule if request.url_rule else "unmatched"
        method = request.method if request.method in metrics.HTTP_METHODS else metrics.OTHER
        metrics.HTTP_REQUESTS.labels(method, route, str(response.status_code)).inc()
        metrics.HTTP_SECONDS.labels(route).observe(time.perf_counter() - g.get("started", time.perf_counter()))
        return response
