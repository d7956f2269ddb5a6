"""Crash reports for Sentry: errors that nobody foresaw, wherever they came up.

Only imported when `SENTRY_DSN` is set. The house logs such an error once, as an ERROR with its traceback; that line is
what makes a report. So neither requests nor jobs pay for it while nothing breaks, and what is a refusal (4xx) or a
dependency that is down (503) makes none. A report holds where it broke, no value: no local variables, no bodies, no
headers, and of the error's words only those that are not quoted.
"""

import logging
import os
import re
from importlib.metadata import version
from typing import Any

import sentry_sdk
from flask import has_request_context, request
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration

from app.config import Config
from app.core.dependency_errors import outage_of
from app.core.errors import DomainError
from app.observability.requests import current_request_id

END_SECONDS = 2.0
FORESEEN = (DomainError,)
TOLD = frozenset(
    {
        "event_id",
        "timestamp",
        "level",
        "platform",
        "release",
        "environment",
        "server_name",
        "sdk",
        "logger",
        "exception",
    }
)
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*")
MAX_WORDS = 200


def start(settings: Config) -> None:
    """Report from this process and from those it forks. Starts no thread before there is something to tell."""
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        release=os.environ.get("SENTRY_RELEASE") or f"dashboard-realtime@{version('dashboard-realtime')}",
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
            DedupeIntegration(),
            ExcepthookIntegration(),
            ThreadingIntegration(propagate_scope=False),
        ],
        before_send=_discreet,
        ignore_errors=list(FORESEEN),
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        shutdown_timeout=END_SECONDS,
    )


def finish() -> None:
    """Send what waits; gives up after two seconds."""
    sentry_sdk.get_client().close(timeout=END_SECONDS)


def _discreet(event: Any, hint: dict[str, Any]) -> Any:
    """The event with what may be told; None for an outage, and when no error is behind it but a line of the log."""
    if not hint.get("exc_info") or outage_of(hint["exc_info"][1]):
        return None
    told = {name: value for name, value in event.items() if name in TOLD}
    for each in told.get("exception", {}).get("values", []):
        each["value"] = _without_values(each.get("value") or "")
    told["tags"] = _tags()
    return told


def _without_values(words: str) -> str:
    """The first line, with what is quoted or a number left out: an error's words may hold what a caller sent."""
    return _VALUES.sub("…", words.partition("\n")[0])[:MAX_WORDS]


def _tags() -> dict[str, str]:
    from celery import current_task

    tags = {"request_id": current_request_id()}
    if current_task:
        tags = {"request_id": str(current_task.request.get("request_id") or ""), "task": current_task.name}
    if has_request_context():
        tags["method"] = request.method
        tags["route"] = request.url_rule.rule if request.url_rule else ""
    return {name: value for name, value in tags.items() if value}
