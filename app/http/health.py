"""`/healthz` (the process is up), `/readyz` (database and Redis take writes), `/metrics`."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
from flask import Blueprint, Response, current_app, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from app.core import redis_connection, schema_version
from app.core.database import check_writable
from app.core.dependency_errors import SchemaOutdated, as_outage
from app.core.errors import DependencyUnavailable, DomainError
from app.core.extensions import config
from app.core.schema_version import SchemaState
from app.http.problems import problem
from app.observability import metric_files
from app.observability.process_registry import own_version

logger = logging.getLogger(__name__)
READY_CHANNEL = "dashboard:ready"
REMEMBERED_SECONDS = 1.0
blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok", version=own_version())


@blueprint.get("/readyz")
def readyz() -> Response:
    """Looks at most once a second, however many ask."""
    looked = current_app.extensions.get("readiness")
    if looked is None or time.monotonic() - looked.at > REMEMBERED_SECONDS:
        looked = current_app.extensions["readiness"] = _look()
    if not looked.refusals:
        return jsonify(status="ok", parts=looked.parts, **({"silent": looked.silent} if looked.silent else {}))
    details = " ".join(f"{name}: {refusal.detail}" for name, refusal in looked.refusals.items())
    codes = {refusal.code for refusal in looked.refusals.values()}
    code = SchemaOutdated.code if codes == {SchemaOutdated.code} else None
    return problem(DependencyUnavailable(f"Not ready: {details}", code=code, extra={"parts": looked.parts}))


@dataclass(frozen=True)
class _Look:
    """What `/readyz` has found: the refusals of parts that are down, and the names of processes that hang."""

    parts: dict[str, str]
    refusals: dict[str, DomainError]
    silent: list[str]
    at: float


def _look() -> _Look:
    refusals = {}
    for name, check in CHECKS.items():
        if refusal := _refusal_of(name, check):
            refusals[name] = refusal
    parts = {name: "down" if name in refusals else "ok" for name in CHECKS}
    silent = [] if "redis" in refusals else current_app.extensions["silent_processes"]()
    return _Look(parts, refusals, silent, time.monotonic())


@blueprint.get("/metrics")
def prometheus() -> Response:
    """What this machine's processes counted, and what is read of the whole system."""
    folder, counted, state = metric_files.folder(), REGISTRY, CollectorRegistry()
    if folder is not None:
        counted = CollectorRegistry()
        counted.register(metric_files.Collector(folder))
    state.register(current_app.extensions["state_collector"])
    return Response(generate_latest(counted) + generate_latest(state), content_type=CONTENT_TYPE_LATEST)


def _database() -> None:
    """The database takes a write, and its schema is not older than this release."""
    if schema_version.state_of(check_writable()) is SchemaState.BEHIND:
        raise SchemaOutdated


def _redis() -> None:
    redis_connection.check_writable(_impatient_client())


def _message_queue() -> None:
    """The channel through which workers emit takes a message."""
    _impatient_client().publish(READY_CHANNEL, b"")


def _impatient_client() -> redis.Redis:
    """One try of a second: who asks whether we are ready does not want to wait for an outage to pass."""
    made = current_app.extensions
    if "impatient_redis" not in made:
        made["impatient_redis"] = redis_connection.connect_redis(config().redis_url, retries=0)
    client: redis.Redis = made["impatient_redis"]
    return client


CHECKS: dict[str, Callable[[], None]] = {"database": _database, "redis": _redis, "messageQueue": _message_queue}


def _refusal_of(name: str, check: Callable[[], None]) -> DomainError | None:
    try:
        check()
    except DomainError as refusal:
        logger.warning("health.failed", extra={"check": name, "error": refusal.detail})
        return refusal
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the part does not answer
        logger.warning("health.failed", extra={"check": name, "error": str(error)})
        return as_outage(error) or DependencyUnavailable("It fails in a way that nobody foresaw; see the log.")
    return None
