"""What each process sends out: structured logs, and where they are configured, traces and crash reports.

Logs are `event.name key=value …` for people, or one JSON object per line for machines. The libraries of traces and
crash reports are optional, and imported only when they are configured.
"""

import json
import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable

from flask import Flask
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from app.config import Config
from app.observability.requests import current_request_id

SHUTDOWN_SECONDS = 2.0
_NOT_SHOWN = frozenset({*RESERVED_ATTRS, "taskName", "requestId", "color_message"})
LIBRARIES_AT_WARNING = (
    "engineio",
    "socketio",
    "werkzeug",
    "urllib3",
    "kombu",
    "amqp",
    "celery.beat",
    "celery.worker.strategy",
    "celery.app.trace",
    "alembic",
    "sqlalchemy.engine",
)
# Characters that end a line, control a terminal or change the direction of text: C0, DEL, C1, bidirectional marks,
# line separators, lone surrogates and the byte order mark.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_NEEDS_QUOTES = re.compile(r'[\s"=]|^$')
_shutdowns: list[Callable[[], None]] = []


def plain(text: str) -> str:
    """The text on one line with control characters escaped, so that no caller can forge a log line."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _quoted(value: object) -> str:
    """The value, in quotes where its end would be ambiguous; JSON objects stay as they are."""
    text = str(value)
    if _NEEDS_QUOTES.search(text) and not _is_json(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def _is_json(text: str) -> bool:
    try:
        return text.startswith("{") and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


class TextFormatter(logging.Formatter):
    """`INFO event.dropped room=protocol:P1 seq=12`: one line per record; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        shown = {key: value for key, value in vars(record).items() if key not in _NOT_SHOWN and not key.startswith("_")}
        if request_id := getattr(record, "requestId", ""):
            shown["requestId"] = request_id
        values = [f"{key}={_quoted(value)}" for key, value in shown.items()]
        first = plain(" ".join([record.levelname, record.getMessage().rstrip(), *values]))
        traceback = self.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
        rest = [*traceback.splitlines(), *(record.stack_info or "").splitlines()]
        return "\n".join([first, *("    " + plain(each) for each in rest)])


def init_logging(settings: Config) -> None:
    """Write this process's log to standard output in the configured format."""
    # Not shown; with eventlet a thread's name takes as long as the rest of a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_add_request_id)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    else:
        handler.setFormatter(TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in LIBRARIES_AT_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)


def _add_request_id(record: logging.LogRecord) -> bool:
    if not hasattr(record, "requestId"):
        record.requestId = current_request_id()
    return True


def instrument(app: Flask, settings: Config) -> None:
    """Have requests, statements and jobs traced, once this process calls `start_tracing`."""
    if settings.otlp_endpoint:
        from app.observability import tracing  # noqa: PLC0415 - optional dependency

        tracing.instrument(app)


def start_tracing(settings: Config) -> None:
    """Send traces from this process; starts a thread, so call it after a fork."""
    if settings.otlp_endpoint:
        from app.observability import tracing  # noqa: PLC0415 - optional dependency

        _shutdowns.append(tracing.start(settings).shutdown)


def report_crashes(settings: Config) -> None:
    """Report crashes from this process and from those it forks."""
    if settings.sentry_dsn:
        # Sentry imports eventlet to see whether the process is patched, and eventlet warns that it is deprecated.
        warnings.filterwarnings("ignore", message="(?s).*Eventlet is deprecated")
        from app.observability import crash_reports  # noqa: PLC0415 - optional dependency

        _shutdowns.append(crash_reports.start(settings).close)


def finish() -> None:
    """Send the buffered data, for at most two seconds: a hanging collector must not delay the process's end."""
    ended = threading.Semaphore(0)  # eventlet's `Thread.join` raises at its time limit since Python 3.13

    def end(shutdown: Callable[[], object]) -> None:
        try:
            shutdown()
        finally:
            ended.release()

    threads = [threading.Thread(target=end, args=(shutdown,), daemon=True) for shutdown in _shutdowns]
    _shutdowns.clear()
    for each in threads:
        each.start()
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    for _ in threads:
        ended.acquire(timeout=max(0.0, deadline - time.monotonic()))
