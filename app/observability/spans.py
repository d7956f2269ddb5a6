"""What is traced: each request, its SQL, and the jobs it leaves to workers. Only imported where traces are on.

OpenTelemetry's own instrumentation of Flask, SQLAlchemy and Celery costs twice as much, and several times as much for
what is not sampled; it makes traces of statements in health checks and ticks, and tells addresses, agents, queries and
errors' texts. Here nothing is told that a caller sent: no path but its template, no parameters of a statement, no
error but its kind; of the request's headers, `traceparent` alone.
"""

from typing import Any

from celery import signals
from flask import Flask, Response, g, request
from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Engine, event

from app.core import queues
from app.observability.requests import current_request_id

REQUEST_ID = "dashboard.request_id"
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
# A trace each second for what beat starts would hide the others, and each drain arranges the next: without an end.
TICKS = frozenset(
    {
        queues.FLUSH_TASK,
        queues.DRAIN_TASK,
        queues.OUTBOX_SWEEP_TASK,
        queues.PAYMENT_SWEEP_TASK,
        queues.RETENTION_TASK,
    }
)
WAITS_FOR_NOTHING = "BEGIN DEFERRED"
SERVER_ERROR = 500
_tracer = trace.get_tracer(__name__)
_propagator = TraceContextTextMapPropagator()


def _parent(traceparent: str | None) -> context.Context:
    return _propagator.extract({"traceparent": traceparent or ""}, context=context.Context())


def watch_requests(app: Flask) -> None:
    """Register after what gives a request its id."""

    @app.before_request
    def _begin() -> None:
        if request.path not in PROBES:
            method = request.method if request.method in METHODS else "_OTHER"
            told = {REQUEST_ID: current_request_id(), "http.request.method": method}
            if request.url_rule:
                told["http.route"] = request.url_rule.rule
            name = f"{method} {told.get('http.route', '')}".rstrip()
            parent = _parent(request.headers.get("traceparent"))
            g.span = _tracer.start_span(name, parent, SpanKind.SERVER, told)
            g.span_token = context.attach(trace.set_span_in_context(g.span))

    @app.after_request
    def _note(response: Response) -> Response:
        if "span" in g:
            g.span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= SERVER_ERROR:
                g.span.set_status(StatusCode.ERROR)
        return response

    @app.teardown_request
    def _end(error: BaseException | None) -> None:
        del error
        if "span" in g:
            context.detach(g.pop("span_token"))
            g.pop("span").end()


def watch_statements(engine: Engine) -> None:
    """Only inside of what is traced: a statement never begins a trace."""
    event.listen(engine, "before_cursor_execute", _begin_statement)
    event.listen(engine, "after_cursor_execute", _end_statement)
    event.listen(engine, "handle_error", _fail_statement)


def _begin_statement(connection: Any, _cursor: Any, statement: str, _values: Any, execution: Any, _many: bool) -> None:
    if execution is None or statement == WAITS_FOR_NOTHING or not trace.get_current_span().is_recording():
        return
    told = {REQUEST_ID: current_request_id(), "db.system.name": connection.dialect.name, "db.query.text": statement}
    execution.span = _tracer.start_span(statement.split(None, 1)[0], kind=SpanKind.CLIENT, attributes=told)


def _end_statement(_connection: Any, _cursor: Any, _statement: str, _values: Any, execution: Any, _many: bool) -> None:
    if span := getattr(execution, "span", None):
        span.end()


def _fail_statement(failure: Any) -> None:
    if span := getattr(failure.execution_context, "span", None):
        span.set_attribute("error.type", type(failure.original_exception).__name__)
        span.set_status(StatusCode.ERROR)
        span.end()


def watch_jobs() -> None:
    signals.before_task_publish.connect(_hand_on)
    signals.task_prerun.connect(_begin_job)
    signals.task_postrun.connect(_end_job)


def _hand_on(sender: str, headers: dict[str, Any], **_: Any) -> None:
    if sender not in TICKS:
        _propagator.inject(headers)


def _begin_job(task: Any, task_id: str, **_: Any) -> None:
    if task.name in TICKS:
        return
    told = {"messaging.message.id": task_id, "messaging.destination.name": task.name}
    if request_id := task.request.get("request_id"):
        told[REQUEST_ID] = request_id
    span = _tracer.start_span(f"run {task.name}", _parent(task.request.get("traceparent")), SpanKind.CONSUMER, told)
    task.request.span = span, context.attach(trace.set_span_in_context(span))


def _end_job(task: Any, state: str, **_: Any) -> None:
    if task.request.get("span") is None:
        return
    span, token = task.request.span
    span.set_attribute("celery.state", state)
    if state == "FAILURE":
        span.set_status(StatusCode.ERROR)
    context.detach(token)
    span.end()
