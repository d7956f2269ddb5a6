"""`/healthz` (the process is up), `/readyz` (what it needs answers), `/metrics`."""

import logging
from collections.abc import Callable

import redis
from flask import Blueprint, Response, current_app, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from app.errors import DependencyDown, problem
from app.extensions import config
from app.observability import metric_files
from app.observability.state import StateCollector
from app.redis_connection import connect_redis

logger = logging.getLogger(__name__)
READY_CHANNEL = "dashboard:ready"
blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> Response:
    parts = {name: _state(check) for name, check in CHECKS.items()}
    down = [name for name, state in parts.items() if state != "ok"]
    if not down:
        return jsonify(status="ok", parts=parts)
    return problem(DependencyDown(f"These do not answer: {', '.join(down)}.", extra={"parts": parts}))


@blueprint.get("/metrics")
def prometheus() -> Response:
    """What this machine's processes counted, and what is read of the whole system."""
    folder, counted, state = metric_files.folder(), REGISTRY, CollectorRegistry()
    if folder is not None:
        counted = CollectorRegistry()
        counted.register(metric_files.Collector(folder))
    state.register(current_app.extensions.setdefault("state_collector", StateCollector()))
    return Response(generate_latest(counted) + generate_latest(state), content_type=CONTENT_TYPE_LATEST)


def _database() -> None:
    from app.database import ping

    ping()


def _redis() -> None:
    _impatient_client().ping()


def _message_queue() -> None:
    """The channel through which workers emit takes a message."""
    _impatient_client().publish(READY_CHANNEL, b"")


def _impatient_client() -> redis.Redis:
    """One try of a second: who asks whether we are ready does not want to wait for an outage to pass."""
    made = current_app.extensions
    if "impatient_redis" not in made:
        made["impatient_redis"] = connect_redis(config().redis_url, retries=0)
    client: redis.Redis = made["impatient_redis"]
    return client


CHECKS: dict[str, Callable[[], None]] = {"database": _database, "redis": _redis, "messageQueue": _message_queue}


def _state(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the part does not answer
        logger.warning("health.failed", extra={"check": check.__name__, "error": str(error)})
        return "down"
    return "ok"
