"""Structured logs: `event.name key=value …` for people, one JSON object a line for machines."""

import logging
import sys
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from app.config import Config
from app.observability.requests import current_request_id

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "requestId",
    "color_message",
}
QUIET = (
    "engineio",
    "socketio",
    "werkzeug",
    "urllib3",
    "kombu",
    "amqp",
    "celery.beat",
    "celery.worker.strategy",
    "celery.app.trace",
    "redbeat",
    "redbeat.schedulers",
    "alembic",
    "sqlalchemy.engine",
)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}


class TextFormatter(logging.Formatter):
    """`2026-11-22T20:30:00.123Z INFO event.dropped room=protocol:P1 seq=12`."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        extras = " ".join(f"{key}={value}" for key, value in _extras(record).items())
        request_id = getattr(record, "requestId", "")
        tail = " ".join(filter(None, [extras, request_id and f"requestId={request_id}"]))
        first, newline, rest = line.partition("\n")
        return f"{first} {tail}{newline}{rest}" if tail else line


class _RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "requestId"):
            record.requestId = current_request_id()
        return True


def init_logging(settings: Config) -> None:
    """Send this process's log to standard output in the configured format."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_RequestId())
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    else:
        handler.setFormatter(TextFormatter("%(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
