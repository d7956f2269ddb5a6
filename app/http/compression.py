"""Long answers go out zipped to callers that take it: the snapshot of a busy protocol is a tenth as long then.

No answer holds a secret beside something that its caller chose, which zipping could give away by its length (BREACH).
"""

import gzip
from functools import cached_property
from http import HTTPStatus

from flask import Flask, Response, request

MIN_SIZE, MAX_SIZE = 1024, 4 * 1024 * 1024
MAX_ACCEPT = 512  # parsing 8 KiB takes as long as ten requests
FAST, BEST = 1, 9
ZIPPED_TYPES = ("text/", "application/json", "application/javascript", "application/problem+json", "image/svg+xml")


class CompressibleBody:
    """A body that many callers get: zipped once, when the first of them takes it so."""

    def __init__(self, plain: bytes, level: int = FAST) -> None:
        self.plain, self._level = plain, level

    @cached_property
    def _zipped(self) -> bytes:
        return gzip.compress(self.plain, self._level, mtime=0)

    def response(self, content_type: str) -> Response:
        is_zipped = _is_worth_it(content_type, len(self.plain)) and _is_taken()
        response = Response(self._zipped if is_zipped else self.plain, content_type=content_type)
        response.vary.add("Accept-Encoding")
        if is_zipped:
            response.content_encoding = "gzip"
        return response


def _is_worth_it(content_type: str, size: int) -> bool:
    return size >= MIN_SIZE and content_type.startswith(ZIPPED_TYPES)


def _is_taken() -> bool:
    accepted = request.headers.get("Accept-Encoding", "")
    return len(accepted) <= MAX_ACCEPT and request.accept_encodings.quality("gzip") > 0


def init_app(app: Flask) -> None:
    app.after_request(_zip)


def _zip(response: Response) -> Response:
    """Zip what was not made as CompressibleBody. A tag is weak then: the same document in other bytes (RFC 9110, 8.8.3.3)."""
    size = response.content_length or 0
    if response.content_encoding is None and _is_worth_it(response.content_type or "", size):
        response.vary.add("Accept-Encoding")
        is_part = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if _is_taken() and not is_part and size <= MAX_SIZE:
            response.direct_passthrough = False
            response.set_data(gzip.compress(response.get_data(), FAST, mtime=0))
            response.content_encoding = "gzip"
    if response.content_encoding is not None and (tag := response.get_etag()[0]):
        response.set_etag(tag, weak=True)
    return response
