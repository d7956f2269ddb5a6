"""Lists as CSV (RFC 4180) for `Accept: text/csv`: the whole selection, read page by page while it is sent.

Each page is a transaction of its own, and other requests run between two pages. A failure after the first page cuts the
connection, so that no client takes a part for the whole.
"""

import csv
import io
import logging
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial, wraps
from typing import Any

from flask import Flask, Response, current_app, g, request
from marshmallow import fields
from werkzeug.datastructures import MIMEAccept

from app.core import runtime
from app.core.errors import TooManyExports
from app.core.pagination import Cursor, Page
from app.core.schemas import CamelSchema, Money, NumberText, Timestamp
from app.http.responses import FAST, MAX_ACCEPT, accepts_gzip
from app.http.rest import Blueprint
from app.observability import metrics
from app.observability.requests import current_request_id, on_behalf_of

logger = logging.getLogger(__name__)

CSV_TYPE = "text/csv"
PAGE_ROWS = 200
MAX_EXPORTS = 2  # at a time, of one token in one process
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Where a spreadsheet splits at semicolons or tabs, as in many locales, it ignores the quotes around commas.
_INNER_FORMULA = re.compile("[;\t\r\n](?=[=+\\-@＝＋－＠])")
_EXACT = (Money, NumberText, Timestamp)
_GZIP_WINDOW = 31  # zlib's code for the gzip format
_cursor = Cursor()


def paged(blueprint: Blueprint, page_schema: type[CamelSchema], name: str) -> Callable[..., Any]:
    """Like `blueprint.response(200, page_schema)`, for a view that returns a Page; also answers as CSV.

    `name` is the list's in the name of the file.
    """
    items: Any = page_schema().fields["items"]
    item_schema: type[CamelSchema] = items.inner.nested

    def decorate(view: Callable[..., Page]) -> Callable[..., Any]:
        as_json = blueprint.response(200, page_schema)(view)

        @wraps(as_json)
        def negotiated(query: dict[str, Any], **path: Any) -> Response:
            if is_csv_preferred():
                file_name = f"{path['protocol_id']}-{name}.csv".replace(":", "_")
                response = _response(_Export(partial(view, **path), query, item_schema()), file_name)
            else:
                response = as_json(query, **path)
            response.vary.add("Accept")
            return response

        negotiated.csv_schema = item_schema  # type: ignore[attr-defined]
        return negotiated

    return decorate


def is_csv_preferred() -> bool:
    """Whether the caller prefers CSV to JSON, whatever the parameters of the types; JSON wins a tie."""
    if len(request.headers.get("Accept", "")) > MAX_ACCEPT:
        return False
    accepted = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in request.accept_mimetypes])
    return accepted.best_match(["application/json", CSV_TYPE]) == CSV_TYPE


def _response(export: "_Export", file_name: str) -> Response:
    """The whole selection; its first page is read at once. Raises TooManyExports."""
    slot = _reserve_slot(g.limit_key)
    try:
        first = export.read(None)  # its errors are answered like those of any request
    except BaseException:
        slot.close()
        raise
    is_compressed = accepts_gzip()
    chunks = export.chunks(first, slot)
    response = Response(_compressed(chunks) if is_compressed else chunks, content_type=f"{CSV_TYPE}; charset=utf-8")
    response.call_on_close(slot.close)  # also where not even the first chunk is taken, as for HEAD
    response.vary.add("Accept-Encoding")
    if is_compressed:
        response.content_encoding = "gzip"
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


def _reserve_slot(caller: str) -> ExitStack:
    """Count one more export of the caller until the result is closed. Raises TooManyExports."""
    running: Counter[str] = current_app.extensions.setdefault("csv_exports", Counter())
    if running[caller] >= MAX_EXPORTS:
        metrics.LIMITED.labels("exports").inc()
        raise TooManyExports
    running[caller] += 1

    def release() -> None:
        running[caller] -= 1
        if running[caller] <= 0:
            del running[caller]

    slot = ExitStack()
    slot.callback(release)
    return slot


class _Export:
    """One export; `view` returns a page for the query. It outlives its request's context, so it keeps what it needs."""

    def __init__(self, view: Callable[[dict[str, Any]], Page], query: dict[str, Any], schema: CamelSchema) -> None:
        self._view, self._query, self._schema = view, query, schema
        self._columns = {str(field.data_key): field for field in schema.dump_fields.values()}
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - Flask's way to keep the app
        self._environ, self._request_id = request.environ, current_request_id()

    def read(self, cursor: str | None) -> Page:
        """The page at `cursor`; the query's own `limit` and `cursor` do not matter."""
        keys = None if cursor is None else _cursor.deserialize(cursor)
        return self._view(self._query | {"limit": PAGE_ROWS, "cursor": keys})

    def chunks(self, page: Page, slot: ExitStack) -> Iterator[bytes]:
        """The header and the rows of each page from `page` on; the next one is read when these were taken."""
        with slot:
            rows = [list(self._columns), *self._rows(page)]
            while True:
                yield _text(rows)
                if page.next_cursor is None:
                    return
                self._environ.get("dashboard.extend_deadline", int)()
                time.sleep(0)  # other requests run
                with self._app.app_context(), on_behalf_of(self._request_id):
                    page, rows = self._next(page.next_cursor)

    def _next(self, cursor: str) -> tuple[Page, list[list[str]]]:
        try:
            page = self.read(cursor)
            return page, self._rows(page)
        except Exception:
            metrics.EXPORT_FAILURES.inc()
            logger.exception("export.failed", extra={"path": self._environ.get("PATH_INFO", "")})
            runtime.reset_connection(self._environ)
            raise

    def _rows(self, page: Page) -> list[list[str]]:
        dumped = self._schema.dump(page.items, many=True)
        return [[_cell(row.get(name), field) for name, field in self._columns.items()] for row in dumped]


def _cell(value: Any, field: fields.Field[Any]) -> str:
    """The value as text; apostrophes keep a spreadsheet from taking text, or a part of it, for a formula."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(field, _EXACT):
        return text
    text = _INNER_FORMULA.sub(r"\g<0>'", text)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _text(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(FAST, wbits=_GZIP_WINDOW)
    for chunk in chunks:
        yield compressor.compress(chunk) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()
