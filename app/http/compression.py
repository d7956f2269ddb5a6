"""Long responses are compressed with gzip for callers that accept it: a busy protocol's snapshot shrinks to a tenth.

No response holds a secret next to text that a caller chose, so the length of a response reveals nothing (BREACH).
"""

import gzip
from functools import cached_property
from http import HTTPStatus

from flask import Flask, Response, request

MIN_SIZE, MAX_SIZE = 1024, 4 * 1024 * 1024
MAX_ACCEPT = 512  # parsing a header of 8 KiB takes as long as ten requests
FAST, BEST = 1, 9
COMPRESSED_TYPES = ("text/", "application/json", "application/javascript", "application/problem+json", "image/svg+xml")


class CompressibleBody:
    """A body for many callers: compressed once, for the first caller that accepts it."""

    def __init__(self, plain: bytes, level: int = FAST) -> None:
        self.plain, self._level = plain, level

    @cached_property
    def _compressed(self) -> bytes:
        return gzip.compress(self.plain, self._level, mtime=0)

    def response(self, content_type: str) -> Response:
        is_compressed = _is_compressible(content_type, len(self.plain)) and _is_accepted()
        response = Response(self._compressed if is_compressed else self.plain, content_type=content_type)
        response.vary.add("Accept-Encoding")
        if is_compressed:
            response.content_encoding = "gzip"
        return response


def _is_compressible(content_type: str, size: int) -> bool:
    return size >= MIN_SIZE and content_type.startswith(COMPRESSED_TYPES)


def _is_accepted() -> bool:
    accepted = request.headers.get("Accept-Encoding", "")
    return len(accepted) <= MAX_ACCEPT and request.accept_encodings.quality("gzip") > 0


def init_app(app: Flask) -> None:
    app.after_request(_compress)


def _compress(response: Response) -> Response:
    """Compress responses without a CompressibleBody. Their ETag becomes weak (RFC 9110, 8.8.3.3)."""
    size = response.content_length or 0
    if response.content_encoding is None and _is_compressible(response.content_type or "", size):
        response.vary.add("Accept-Encoding")
        is_part = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if _is_accepted() and not is_part and size <= MAX_SIZE:
            response.direct_passthrough = False
            response.set_data(gzip.compress(response.get_data(), FAST, mtime=0))
            response.content_encoding = "gzip"
    if response.content_encoding is not None and (tag := response.get_etag()[0]):
        response.set_etag(tag, weak=True)
    return response
