"""The page at `/`, its modules under `/static`, the demo's sign-in, and the operators' page with the system's state."""

import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request, send_from_directory

from app.agents.reported import ONLINE_SECONDS
from app.auth.authorization import requires
from app.auth.permissions import Action, Role
from app.auth.tokens import issue
from app.config.addresses import is_loopback, is_loopback_authority
from app.core.database import utc_now
from app.core.errors import DomainError, NotFound
from app.core.extensions import config, db, redis_client, redis_clock
from app.core.values import to_wire
from app.dashboard import assets
from app.observability import metrics, process_registry
from app.realtime import redis_keys
from app.realtime.limiter import read_steady_time
from app.sockets.connections import connections_by_protocol

STATIC = Path(__file__).parent / "static"
DEMO_SWITCH = "DASHBOARD_DEMO"
DEMO_PROTOCOL = "demo"
DEMO_SECONDS = 3600
MAX_ROOMS = 200
BUDGET = 10
QUEUE_CAPACITY = 100
DROP_SHOWN_US = 10 * 60 * 1_000_000  # a room without connections is listed this long after its last dropped event
COMMANDS_PER_ROOM = 6
COUNTERS = {
    "dashboard_events_emitted_total": "emitted",
    "dashboard_events_dropped_total": "dropped",
    "dashboard_events_undelivered_total": "undelivered",
    "dashboard_emission_failures_total": "failures",
    "dashboard_limited_total": "limited",
}
GAUGES = (
    "dashboard_outbox", "dashboard_payments_", "dashboard_celery_queue", "dashboard_beat", "dashboard_rooms",
)  # fmt: skip

blueprint = Blueprint("dashboard", __name__)


class NotSetUp(DomainError):
    code, status = "PAGE_NOT_SET_UP", HTTPStatus.SERVICE_UNAVAILABLE


@blueprint.get("/", defaults={"name": "index.html"})
@blueprint.get("/ops", defaults={"name": "ops.html"})
def page(name: str) -> Response:
    """The dashboard page and the operators' page"""
    if not assets.are_installed():
        raise NotSetUp("The page's modules are missing: run `make setup`, or `python -m app.dashboard.assets`.")
    return static_file(name)


@blueprint.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """A module, style sheet or picture of the pages

    Revalidated each time by a hash of the content, so that no browser mixes the files of two releases.
    """
    response = send_from_directory(STATIC, name, conditional=False, etag=False)
    response.direct_passthrough = False
    if _is_demo() and response.mimetype == "text/html":
        response.set_data(response.get_data().replace(b"<html ", b"<html data-demo ", 1))
    del response.headers["Last-Modified"]
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.after_app_request
def show_not_found(response: Response) -> Response:
    """Answer a browser's navigation to an unknown path outside /api with a page."""
    is_navigation = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
    is_unknown = response.status_code == HTTPStatus.NOT_FOUND and not request.path.startswith("/api")
    if is_navigation and is_unknown:
        response.set_data((STATIC / "404.html").read_bytes())
        response.content_type = "text/html; charset=utf-8"
    return response


@blueprint.get("/demo/session")
def demo_session() -> Response:
    """Tokens for the demo's roles, when the demo is on (`dashboard up --demo`) and the browser is on this machine"""
    if not _is_demo():
        raise NotFound("The demo is off, or not for other machines: sign in with a token.", code="DEMO_OFF")
    tokens = {
        role: issue(config(), subject=f"demo-{role}", role=role, protocols=[DEMO_PROTOCOL], ttl_seconds=DEMO_SECONDS)
        for role in (Role.VIEWER, Role.VALIDATOR, Role.OWNER)
    }
    return jsonify(protocolId=DEMO_PROTOCOL, expiresIn=str(DEMO_SECONDS), roles=tokens)


def _is_demo() -> bool:
    """Whether the demo is on, and the caller is on this machine and used a loopback name.

    With DNS rebinding, a foreign page's name resolves to 127.0.0.1, but its requests still have that name as `Host`.
    """
    if os.environ.get(DEMO_SWITCH) != "1":
        return False
    return is_loopback_authority(request.headers.get("Host", "")) and is_loopback(request.remote_addr or "")


@blueprint.get("/ops/status")
@requires(Action.OPERATE)
def operators_status() -> Response:
    """The system's state, for the operators' page"""
    events, readings = _measured()
    server, known = redis_client().info("server"), process_registry.known()
    state = {
        "asOf": utc_now(),
        "rooms": _rooms(),
        "agents": _agents(),
        "events": events,
        "readings": readings,
        "processes": [
            {
                "kind": each.kind,
                "process": each.label,
                "version": each.version,
                "python": each.python,
                "silentSeconds": int(each.silent_seconds) if each.is_silent else None,
            }
            for each in known
        ],
        "faults": process_registry.faults(known),
        "versions": {
            "redis": str(server.get("valkey_version") or server.get("redis_version")),
            "database": db.engine.dialect.name,
        },
    }
    return jsonify(to_wire(state))


def _rooms() -> list[dict[str, Any]]:
    """Return the rooms with connections, with waiting events or with events dropped lately."""
    client, connections = redis_client(), connections_by_protocol()
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zrange(redis_keys.DUE_KEY, 0, MAX_ROOMS - 1)
        pipe.zrange(redis_keys.DROPPED_AT_KEY, 0, MAX_ROOMS - 1, desc=True, withscores=True)
        (seconds, micros), waiting, dropping = pipe.execute()
    now, steady = seconds * 1_000_000 + micros, read_steady_time(client)
    listed = [*waiting, *(room for room, at in dropping if now - at < DROP_SHOWN_US)]
    ids = {*connections, *(room.decode() for room in listed)}
    shown = sorted(ids, key=lambda each: -connections.get(each, 0))[:MAX_ROOMS]
    with client.pipeline(transaction=False) as pipe:
        for each in shown:
            pipe.llen(redis_keys.room_key(each, "queue"))
            pipe.lrange(redis_keys.room_key(each, "window"), 0, BUDGET - 1)
            pipe.zcard(redis_keys.room_key(each, "waiting"))
            pipe.get(redis_keys.room_key(each, "seq"))
            pipe.hget(redis_keys.DROPPED_KEY, each)
            pipe.zscore(redis_keys.DROPPED_AT_KEY, each)
        answers = pipe.execute()
    rows = [answers[at : at + COMMANDS_PER_ROOM] for at in range(0, len(answers), COMMANDS_PER_ROOM)]
    return [
        {"protocolId": each, "connections": connections.get(each, 0), **_describe_room(row, now, steady)}
        for each, row in zip(shown, rows, strict=True)
    ]


def _describe_room(row: list[Any], now: int, steady: int) -> dict[str, Any]:
    queued, window, waiting, seq, dropped, dropped_at = row
    return {
        "queued": queued,
        "capacity": QUEUE_CAPACITY,
        "used": sum(float(at) > steady - 1_000_000 for at in window),
        "budget": BUDGET,
        "agentsWaiting": waiting,
        "seq": int(seq or 0),
        "dropped": int(dropped or 0),
        "secondsSinceDrop": None if dropped_at is None else max(0, int((now - dropped_at) / 1e6)),
    }


def _agents() -> dict[str, int]:
    since = (redis_clock().now() - ONLINE_SECONDS) * 1e6
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.zcard(redis_keys.LAST_SEEN_KEY)
        pipe.zcount(redis_keys.LAST_SEEN_KEY, since, "+inf")
        pipe.zcount(redis_keys.BUSY_KEY, since, "+inf")
        known, online, busy = pipe.execute()
    return {"known": known, "online": online, "busy": busy}


def _measured() -> tuple[dict[str, int], dict[str, float]]:
    """Return the events counted by this machine's processes, and depths and ages of the whole system.

    The latter are those of the outbox, payments, Celery's queues and beat's last tick.
    """
    events: dict[str, int] = dict.fromkeys(COUNTERS.values(), 0)
    readings: dict[str, float] = {}
    families = [*metrics.registry().collect(), *current_app.extensions["state_collector"].collect()]
    for sample in (sample for family in families for sample in family.samples):
        if sample.name in COUNTERS:
            events[COUNTERS[sample.name]] += int(sample.value)
        elif sample.name.startswith(GAUGES) and not sample.name.endswith(("_total", "_created")):
            label = next(iter(sample.labels.values()), "")
            readings[f"{sample.name.removeprefix('dashboard_')} {label}".strip()] = sample.value
    return events, readings
