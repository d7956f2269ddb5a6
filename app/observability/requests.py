"""A request id on every response, and the time each route takes."""

import re
import time

import uuid_utils.compat as uuid
from flask import Flask, Response, g, request

from app.observability import metrics

HEADER = "X-Request-Id"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def request_id(given: str) -> str:
    """The caller's own id of a request, or a new one."""
    return given if _ACCEPTABLE.fullmatch(given) else uuid.uuid7().hex


def init_app(app: Flask) -> None:
    @app.before_request
    def _begin() -> None:
        g.request_id = request_id(request.headers.get(HEADER, ""))
        g.started = time.perf_counter()

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers[HEADER] = g.get("request_id", "")
        route = request.url_rule.rule if request.url_rule else "unmatched"
        metrics.HTTP_REQUESTS.labels(request.method, route, str(response.status_code)).inc()
        metrics.HTTP_SECONDS.labels(route).observe(time.perf_counter() - g.get("started", time.perf_counter()))
        return response
