"""Structured logs: `event.name key=value …` for people, one JSON object per line for machines."""

import json
import logging
import re
import sys
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from app.config import Config
from app.observability.requests import current_request_id

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "requestId",
    "color_message",
}
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
_INDENT = "    "


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {
        key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS and not key.startswith("_")
    }


def plain(text: str) -> str:
    """The text on one line with control characters escaped, so that no caller can forge a log line."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _quoted(value: object) -> str:
    """The value, in quotes where its end would be ambiguous; JSON objects stay as they are."""
    text = str(value)
    if _NEEDS_QUOTES.search(text) and not _is_json(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return plain(text)


def _is_json(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class TextFormatter(logging.Formatter):
    """`INFO event.dropped room=protocol:P1 seq=12`: one line per record; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        extras = {**_extras(record), "requestId": getattr(record, "requestId", "")}
        tail = [f"{plain(key)}={_quoted(value)}" for key, value in extras.items() if key != "requestId" or value]
        line = " ".join([record.levelname, plain(record.getMessage().rstrip()), *tail])
        return "\n".join([line, *(_INDENT + plain(each) for each in self._traceback(record).splitlines())])

    def _traceback(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info) if record.exc_info else record.exc_text]
        parts.append(self.formatStack(record.stack_info) if record.stack_info else None)
        return "\n".join(filter(None, parts))


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "requestId"):
            record.requestId = current_request_id()
        return True


def init_logging(settings: Config) -> None:
    """Write this process's log to standard output in the configured format."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_RequestIdFilter())
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    else:
        handler.setFormatter(TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in LIBRARIES_AT_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)
