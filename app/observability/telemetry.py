"""Traces for an OpenTelemetry collector. Only imported when `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

Sampling and batching follow OpenTelemetry's own variables (`OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`).
"""

import logging
import re
from importlib.metadata import version
from urllib.parse import unquote

from flask import Flask
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from app.config import Config
from app.core.extensions import db
from app.observability import spans
from app.observability.requests import current_request_id

EXPORT_SECONDS = 10.0
_EVENT_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+")


def instrument(app: Flask) -> None:
    """Watch requests, statements and jobs for whatever provider `start` sets; opens nothing, starts no thread."""
    spans.watch_requests(app)
    with app.app_context():
        spans.watch_statements(db.engine)
    spans.watch_jobs()


def start(settings: Config) -> TracerProvider:
    """Send this process's spans, from a thread of its own: call it after the fork, and end it with `shutdown`."""
    named = {"service.name": settings.service_name, "service.version": version("dashboard-realtime")}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    endpoint = settings.otlp_endpoint.rstrip("/") + "/v1/traces"
    exporter = OTLPSpanExporter(endpoint, headers=_headers(settings.otlp_headers), timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_note_trace)
    return provider


def _headers(text: str) -> dict[str, str]:
    """`name=value,name=value`, percent-encoded, as OpenTelemetry has it."""
    pairs = [pair.partition("=") for pair in text.split(",") if "=" in pair]
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}


def _note_trace(record: logging.LogRecord) -> bool:
    """The line in the log gets the trace's id, and the span the line's name: `event.relayed`, `payment.released`."""
    span = trace.get_current_span()
    context = span.get_span_context()
    if not context.is_valid:
        return True
    record.traceId = trace.format_trace_id(context.trace_id)
    name = record.getMessage()
    if span.is_recording() and _EVENT_NAME.fullmatch(name):
        told = {spans.REQUEST_ID: current_request_id(), "eventType": getattr(record, "eventType", "")}
        span.add_event(name, {key: value for key, value in told.items() if value})
    return True
