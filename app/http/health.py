"""`/healthz` (the process is up), `/readyz` (database and Redis take writes), `/metrics`."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
from flask import Blueprint, Response, current_app, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from app.core import migration, redis_connection
from app.core.database import check_writable
from app.core.dependency_errors import SchemaOutdated, as_outage
from app.core.errors import DependencyUnavailable, DomainError
from app.core.extensions import config
from app.core.migration import SchemaState
from app.http.problems import problem
from app.observability import metrics
from app.observability.process_registry import release_version

logger = logging.getLogger(__name__)
READY_CHANNEL = "dashboard:ready"
CACHE_SECONDS = 1.0
blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok", version=release_version())


@blueprint.get("/readyz")
def readyz() -> Response:
    """Runs the checks at most once a second, whatever the number of callers."""
    readiness = current_app.extensions.get("readiness")
    if readiness is None or time.monotonic() - readiness.at > CACHE_SECONDS:
        readiness = current_app.extensions["readiness"] = _check_all()
    if not readiness.errors:
        silent = {"silent": readiness.silent} if readiness.silent else {}
        return jsonify(status="ok", parts=readiness.parts, **silent)
    details = " ".join(f"{name}: {error.detail}" for name, error in readiness.errors.items())
    codes = {error.code for error in readiness.errors.values()}
    code = SchemaOutdated.code if codes == {SchemaOutdated.code} else None
    return problem(DependencyUnavailable(f"Not ready: {details}", code=code, extra={"parts": readiness.parts}))


@dataclass(frozen=True)
class _Readiness:
    """Results of `/readyz`: the errors of failed checks, and the names of silent processes; `at` is monotonic."""

    parts: dict[str, str]
    errors: dict[str, DomainError]
    silent: list[str]
    at: float


def _check_all() -> _Readiness:
    errors = {}
    for name, check in CHECKS.items():
        if error := _run(name, check):
            errors[name] = error
    parts = {name: "down" if name in errors else "ok" for name in CHECKS}
    silent = [] if "redis" in errors else current_app.extensions["silent_processes"]()
    return _Readiness(parts, errors, silent, time.monotonic())


def _run(name: str, check: Callable[[], None]) -> DomainError | None:
    try:
        check()
    except DomainError as error:
        logger.warning("health.failed", extra={"check": name, "error": error.detail})
        return error
    except Exception as error:  # noqa: BLE001 - any error of a driver means that the part is down
        logger.warning("health.failed", extra={"check": name, "error": str(error)})
        return as_outage(error) or DependencyUnavailable("It failed unexpectedly; see the log.")
    return None


def _check_database() -> None:
    """The database takes a write, and its schema is not older than this release."""
    if migration.state_of(check_writable()) is SchemaState.BEHIND:
        raise SchemaOutdated


def _check_redis() -> None:
    redis_connection.check_writable(_client())


def _check_message_queue() -> None:
    """The channel through which workers emit takes a message."""
    _client().publish(READY_CHANNEL, b"")


def _client() -> redis.Redis:
    """A client without retries: a readiness check reports an outage at once."""
    extensions = current_app.extensions
    if "readiness_redis" not in extensions:
        extensions["readiness_redis"] = redis_connection.connect_redis(config().redis_url, retries=0)
    client: redis.Redis = extensions["readiness_redis"]
    return client


CHECKS: dict[str, Callable[[], None]] = {
    "database": _check_database,
    "redis": _check_redis,
    "messageQueue": _check_message_queue,
}


@blueprint.get("/metrics")
def prometheus() -> Response:
    """The counts of this machine's processes, and the gauges of the whole system."""
    state = CollectorRegistry()
    state.register(current_app.extensions["state_collector"])
    return Response(generate_latest(metrics.registry()) + generate_latest(state), content_type=CONTENT_TYPE_LATEST)
