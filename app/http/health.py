"""`/healthz` (the process is up), `/readyz` (database and Redis take writes), `/metrics`."""

import logging
import time
from collections.abc import Callable

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
CACHE_SECONDS = 1.0
PARTS = ("database", "redis", "messageQueue")
ROOMS_PART = "roomsRedis"  # if it is not the same Redis
blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok", version=release_version())


@blueprint.get("/readyz")
def readyz() -> Response:
    """Runs the checks at most once a second, whatever the number of callers."""
    extensions = current_app.extensions
    checked_at, errors, silent = extensions.get("readiness", (float("-inf"), {}, []))
    if time.monotonic() - checked_at > CACHE_SECONDS:
        errors = _check_all()
        silent = [] if "redis" in errors else extensions["silent_processes"]()
        extensions["readiness"] = time.monotonic(), errors, silent
    parts = {name: "down" if name in errors else "ok" for name in _parts()}
    if not errors:
        return jsonify(status="ok", parts=parts, **({"silent": silent} if silent else {}))
    details = " ".join(f"{name}: {error.detail}" for name, error in errors.items())
    is_outdated = all(error.code == SchemaOutdated.code for error in errors.values())
    code = SchemaOutdated.code if is_outdated else None
    return problem(DependencyUnavailable(f"Not ready: {details}", code=code, extra={"parts": parts}))


def _check_all() -> dict[str, DomainError]:
    extensions = current_app.extensions
    if "readiness_redis" not in extensions:  # a client without retries reports an outage at once
        extensions["readiness_redis"] = redis_connection.connect_redis(config().redis_url, retries=0)
    client, errors = extensions["readiness_redis"], {}
    checks: tuple[Callable[[], object], ...] = (
        _check_database,
        lambda: redis_connection.check_writable(client),
        lambda: client.publish("dashboard:ready", b""),
        extensions["rooms_redis"].ping,
    )
    for name, check in zip(_parts(), checks, strict=False):
        try:
            check()
        except Exception as error:  # noqa: BLE001 - any error of a driver means that the part is down
            logger.warning("health_check.failed", extra={"check": name, "error": str(error)})
            outage = error if isinstance(error, DomainError) else as_outage(error)
            errors[name] = outage or DependencyUnavailable("It failed unexpectedly; see the log.")
    return errors


def _parts() -> tuple[str, ...]:
    settings = config()
    return PARTS if settings.rooms_redis_url == settings.redis_url else (*PARTS, ROOMS_PART)


def _check_database() -> None:
    """The database takes a write, and its schema is not older than this release."""
    if migration.state_of(check_writable()) is SchemaState.BEHIND:
        raise SchemaOutdated


@blueprint.get("/metrics")
def prometheus() -> Response:
    """The counts of this machine's processes, and the gauges of the whole system."""
    state = CollectorRegistry()
    state.register(current_app.extensions["state_collector"])
    return Response(generate_latest(metrics.registry()) + generate_latest(state), content_type=CONTENT_TYPE_LATEST)
