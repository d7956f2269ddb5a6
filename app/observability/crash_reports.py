"""Crash reports for Sentry.

Imported only when `SENTRY_DSN` is set. An unexpected error is logged once, as an ERROR with its traceback, and that log
record makes the report: requests and jobs cost nothing more, and expected errors (4xx) and outages (503) make none.
A report holds the place of the error but no values: no local variables, bodies or headers, and the error's text
without what is quoted.
"""

import logging
import os
import re
from importlib.metadata import version
from typing import Any

import sentry_sdk
from celery import current_task
from flask import has_request_context, request
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration

from app.config import Config
from app.core.dependency_errors import outage_of
from app.core.errors import DomainError
from app.observability.requests import current_request_id

SHUTDOWN_SECONDS = 2.0
REPORTED_FIELDS = (
    "event_id", "timestamp", "level", "platform", "release", "environment", "server_name", "sdk", "logger", "exception",
)  # fmt: skip
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*")
MAX_TEXT = 200


def start(settings: Config) -> sentry_sdk.client.BaseClient:
    """Report from this process and from those it forks. Starts no thread before the first report.

    `close` of the result sends the queued reports, for at most two seconds.
    """
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        release=os.environ.get("SENTRY_RELEASE") or f"dashboard-realtime@{version('dashboard-realtime')}",
        default_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
            DedupeIntegration(),
            ExcepthookIntegration(),
            ThreadingIntegration(propagate_scope=False),
        ],
        before_send=_strip_values,
        ignore_errors=[DomainError],
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    return sentry_sdk.get_client()


def _strip_values(event: Any, hint: dict[str, Any]) -> Any:
    """The event without values; None for an outage, and for a log record without an exception."""
    if not hint.get("exc_info") or outage_of(hint["exc_info"][1]):
        return None
    report = {name: event[name] for name in REPORTED_FIELDS if name in event}
    for each in report.get("exception", {}).get("values", []):
        # Quoted texts and numbers may come from a caller.
        each["value"] = _VALUES.sub("…", (each.get("value") or "").partition("\n")[0])[:MAX_TEXT]
    tags = {"request_id": current_request_id()}
    if current_task:
        tags = {"request_id": str(current_task.request.get("request_id") or ""), "task": current_task.name}
    if has_request_context():
        tags |= {"method": request.method, "route": request.url_rule.rule if request.url_rule else ""}
    return report | {"tags": {name: value for name, value in tags.items() if value}}
