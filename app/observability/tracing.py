"""Traces for an OpenTelemetry collector: requests, their SQL and their jobs.

Imported only when `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Sampling and batching follow OpenTelemetry's own variables
(`OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`).

Own code in place of OpenTelemetry's instrumentation of Flask, SQLAlchemy and Celery: that costs twice as much (several
times as much for unsampled requests), traces health checks and scheduled tasks, and exports addresses, user agents,
queries and error texts. Here spans hold nothing that a caller sent: the path's template, the statement without its
parameters, the error's type, and of the request's headers `traceparent` alone.
"""

import logging
import re
from importlib.metadata import version
from typing import Any

from celery import signals
from flask import Flask, Response, g, request
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers
from sqlalchemy import event

from app.config import Config
from app.core import queues
from app.core.extensions import db
from app.observability.requests import current_request_id

EXPORT_SECONDS = 10.0
REQUEST_ID = "dashboard.request_id"
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
# Not traced: one trace a second would hide the others, and a drain that schedules the next would never end its trace.
SCHEDULED_TASKS = frozenset(queues.TASK_QUEUES) - {queues.PAYMENT_SETTLE_TASK}
UNTRACED_STATEMENT = "BEGIN DEFERRED"  # takes no lock, so never waits
SERVER_ERROR = 500
_EVENT_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+")
_tracer = trace.get_tracer(__name__)
_propagator = TraceContextTextMapPropagator()


def instrument(app: Flask) -> None:
    """Create spans for the provider that `start` sets. Call it after the functions that give a request its id."""
    app.before_request(_begin_request)
    app.after_request(_note_response)
    app.teardown_request(_end_request)
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", _begin_statement)
        event.listen(db.engine, "after_cursor_execute", _end_statement)
        event.listen(db.engine, "handle_error", _fail_statement)
    signals.before_task_publish.connect(_inject_parent)
    signals.task_prerun.connect(_begin_job)
    signals.task_postrun.connect(_end_job)


def start(settings: Config) -> TracerProvider:
    """Send this process's spans from a thread: call it after the fork. `shutdown` of the result ends it."""
    names = {"service.name": settings.service_name, "service.version": version("dashboard-realtime")}
    provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
    endpoint = settings.otlp_endpoint.rstrip("/") + "/v1/traces"
    headers = dict(parse_env_headers(settings.otlp_headers, liberal=True))
    exporter = OTLPSpanExporter(endpoint, headers=headers, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_link_log_and_span)
    return provider


def _link_log_and_span(record: logging.LogRecord) -> bool:
    """Add the trace's id to the log record, and the record's event name to the span, such as `payment.released`."""
    span = trace.get_current_span()
    if not span.get_span_context().is_valid:
        return True
    record.traceId = trace.format_trace_id(span.get_span_context().trace_id)
    name = record.getMessage()
    if span.is_recording() and _EVENT_NAME.fullmatch(name):
        attributes = {REQUEST_ID: current_request_id(), "eventType": getattr(record, "eventType", "")}
        span.add_event(name, {key: value for key, value in attributes.items() if value})
    return True


def _parent(traceparent: str | None) -> context.Context:
    return _propagator.extract({"traceparent": traceparent or ""}, context=context.Context())


def _begin_request() -> None:
    if request.path in PROBES:
        return
    method = request.method if request.method in METHODS else "_OTHER"
    attributes = {REQUEST_ID: current_request_id(), "http.request.method": method}
    if request.url_rule:
        attributes["http.route"] = request.url_rule.rule
    name = f"{method} {attributes.get('http.route', '')}".rstrip()
    g.span = _tracer.start_span(name, _parent(request.headers.get("traceparent")), SpanKind.SERVER, attributes)
    g.span_token = context.attach(trace.set_span_in_context(g.span))


def _note_response(response: Response) -> Response:
    if "span" in g:
        g.span.set_attribute("http.response.status_code", response.status_code)
        if response.status_code >= SERVER_ERROR:
            g.span.set_status(StatusCode.ERROR)
    return response


def _end_request(_error: BaseException | None) -> None:
    if "span" in g:
        context.detach(g.pop("span_token"))
        g.pop("span").end()


def _begin_statement(connection: Any, _cursor: Any, statement: str, _values: Any, execution: Any, _many: bool) -> None:
    """Trace statements inside a recorded span; a statement never starts a trace."""
    if execution is None or statement == UNTRACED_STATEMENT or not trace.get_current_span().is_recording():
        return
    dialect = connection.dialect.name
    attributes = {REQUEST_ID: current_request_id(), "db.system.name": dialect, "db.query.text": statement}
    execution.span = _tracer.start_span(statement.split(None, 1)[0], kind=SpanKind.CLIENT, attributes=attributes)


def _end_statement(_connection: Any, _cursor: Any, _statement: str, _values: Any, execution: Any, _many: bool) -> None:
    if span := getattr(execution, "span", None):
        span.end()


def _fail_statement(failure: Any) -> None:
    if span := getattr(failure.execution_context, "span", None):
        span.set_attribute("error.type", type(failure.original_exception).__name__)
        span.set_status(StatusCode.ERROR)
        span.end()


def _inject_parent(sender: str, headers: dict[str, Any], **_: Any) -> None:
    if sender not in SCHEDULED_TASKS:
        _propagator.inject(headers)


def _begin_job(task: Any, task_id: str, **_: Any) -> None:
    if task.name in SCHEDULED_TASKS:
        return
    attributes = {"messaging.message.id": task_id, "messaging.destination.name": task.name}
    if request_id := task.request.get("request_id"):
        attributes[REQUEST_ID] = request_id
    parent = _parent(task.request.get("traceparent"))
    span = _tracer.start_span(f"run {task.name}", parent, SpanKind.CONSUMER, attributes)
    task.request.span = span, context.attach(trace.set_span_in_context(span))


def _end_job(task: Any, state: str, **_: Any) -> None:
    if task.request.get("span"):
        span, token = task.request.span
        span.set_attribute("celery.state", state)
        if state == "FAILURE":
            span.set_status(StatusCode.ERROR)
        context.detach(token)
        span.end()
