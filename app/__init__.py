"""Dashboard Realtime: `create_app()` is the only wiring.

Importing this package imports nothing else: `wsgi.py` must patch the runtime before Flask, redis or SQLAlchemy are
seen (`from time import sleep` in them would else stop the whole process), and `dashboard token` need not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask
    from flask_smorest import Blueprint

    from app.config import Config


def create_app(settings: Config | None = None, *, serve_rest: bool = True, serve_sockets: bool = False) -> Flask:
    """Make the app from `settings`, or from the environment. Opens no connection. Raises ConfigError.

    `serve_rest=False` is for workers, beat and commands, which answer no request: routes, their schemas and documents
    are half of what a start costs. `serve_sockets` is for web processes: only they keep browsers' connections.
    """
    from flask import Flask

    from app.config import load_config
    from app.core import extensions

    settings = settings or load_config()
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    extensions.init_app(app, settings)
    _init_celery(settings)
    _observe(app, settings)
    _init_realtime(app)
    _connect_features()
    if serve_rest:
        _serve_rest(app, settings)
    if serve_sockets:
        _serve_sockets(app, settings)
    if serve_rest:
        _trust_proxies(app, settings)
        _demand_canonical_paths(app)
    return app


def _init_celery(settings: Config) -> None:
    from app.core import extensions
    from app.core.celery_config import configure

    configure(extensions.celery, settings)


def _init_realtime(app: Flask) -> None:
    from app.realtime import scripts

    scripts.init_app(app)


def _observe(app: Flask, settings: Config) -> None:
    from app.observability import exporters, pools, requests, workers

    pools.init()
    workers.init_publishing()
    requests.init_app(app)
    exporters.instrument(app, settings)  # after the request has its id


def _serve_rest(app: Flask, settings: Config) -> None:
    from app.core import dependency_errors, errors
    from app.observability import health, process_registry

    _protect(app, settings)
    app.extensions["silent_processes"] = process_registry.silent_names
    app.register_blueprint(health.blueprint)
    _register_features(app)
    _open_short_way(app)
    dependency_errors.init_app(app)
    errors.init_app(app)  # last: flask-smorest brings a handler of its own


def _protect(app: Flask, settings: Config) -> None:
    from app.auth import authorization
    from app.http import compression, rate_limits
    from app.http.middleware import init_app as init_http

    rate_limits.init_open_answers(app)
    compression.init_app(app)
    rate_limits.init_app(app, settings)
    authorization.init_app(app, settings)
    init_http(app, settings)


def _register_features(app: Flask) -> None:
    from app.apidocs import openapi
    from app.apidocs.routes import blueprint as documents
    from app.dashboard.routes import blueprint as pages
    from app.http.rest import api

    app.config.update(
        API_TITLE="Dashboard Realtime", API_VERSION="v1", OPENAPI_VERSION="3.1.0", OPENAPI_URL_PREFIX=None
    )
    api.init_app(app, spec_kwargs=openapi.spec_options())
    for blueprint in _blueprints():
        api.register_blueprint(blueprint)
    app.register_blueprint(documents)
    app.register_blueprint(pages)


def _blueprints() -> list[Blueprint]:
    from app.agents.routes import blueprint as agents
    from app.audit.routes import blueprint as audit
    from app.bounties.routes import blueprint as bounties
    from app.payments.routes import blueprint as payments
    from app.protocols.routes import blueprint as protocols
    from app.tokens.routes import blueprint as tokens
    from app.vulnerabilities.routes import blueprint as vulnerabilities

    return [protocols, agents, bounties, vulnerabilities, payments, tokens, audit]


def _serve_sockets(app: Flask, settings: Config) -> None:
    from app.http import rate_limits
    from app.protocols.service import check_exists
    from app.sockets import handlers

    handlers.init_app(app, settings, check_exists)
    rate_limits.start_sharing(app)


def _trust_proxies(app: Flask, settings: Config) -> None:
    from app.http.middleware import trust_proxies

    trust_proxies(app, settings)


def _demand_canonical_paths(app: Flask) -> None:
    from app.http import paths

    paths.init_app(app)


def _open_short_way(app: Flask) -> None:
    from app.agents.progress_fast_path import ProgressFastPath

    app.wsgi_app = ProgressFastPath(app, app.wsgi_app)  # type: ignore[method-assign]


def _connect_features() -> None:
    """Hand what stands above to what stands below: imports run downwards only."""
    from app.agents import agent_snapshot as agents
    from app.bounties import service as bounties
    from app.bounties.collectors import read_ledger
    from app.core import dependency_errors
    from app.observability.collectors import READERS
    from app.payments import service as payments
    from app.payments.collectors import read_payments
    from app.protocols import service as protocols
    from app.realtime.collectors import read_outbox, read_rooms, show_zeros
    from app.snapshot import service
    from app.vulnerabilities import lists as vulnerabilities

    show_zeros()
    dependency_errors.show_zeros()
    READERS.update(rooms=read_rooms, outbox=read_outbox, ledger=read_ledger, payments=read_payments)
    protocols.ON_CREATE[:] = [bounties.open_pool]
    service.SECTIONS[:] = [
        bounties.snapshot_section,
        agents.snapshot_section,
        vulnerabilities.snapshot_section,
        payments.snapshot_section,
    ]
