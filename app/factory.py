"""`create_app()`, the only place where the parts of the application are wired together."""

from flask import Flask

from app.agents.progress_fast_path import ProgressFastPath
from app.agents.routes import blueprint as agents
from app.apidocs import openapi
from app.apidocs.routes import blueprint as documents
from app.audit.routes import blueprint as audit
from app.auth import authorization
from app.background import create_background_app
from app.config import Config, load_config
from app.dashboard.routes import blueprint as pages
from app.http import health, middleware, problems, rate_limits, responses, rest
from app.observability import process_registry
from app.observability.collectors import StateCollector
from app.payments.reconciliation import read_ledger, read_payments
from app.payments.routes import blueprint as payments
from app.protocols.routes import blueprint as protocols
from app.protocols.routes import pools
from app.realtime.collectors import read_outbox, read_rooms
from app.snapshot import service as snapshot_service
from app.snapshot.routes import blueprint as snapshot
from app.streams.routes import blueprint as streams
from app.tokens import blueprint as tokens
from app.vulnerabilities.routes import blueprint as vulnerabilities
from app.webhooks.backlog import read_webhooks
from app.webhooks.routes import blueprint as webhooks

API = (protocols, agents, pools, vulnerabilities, payments, webhooks, snapshot, streams, tokens, audit)
GAUGES = {
    "rooms": read_rooms,
    "outbox": read_outbox,
    "ledger": read_ledger,
    "payments": read_payments,
    "webhooks": read_webhooks,
}


def create_app(settings: Config | None = None, *, serve_sockets: bool = False) -> Flask:
    """Create the web application from `settings`, or from the environment. Opens no connection. Raises ConfigError.

    `serve_sockets` needs a process that `app.core.runtime.patch()` has patched, and the server of `dashboard web`.
    Without it any WSGI server can serve REST and the pages.
    """
    settings = settings or load_config()
    app = create_background_app(settings)
    rate_limits.init_app(app, settings)  # first: its limit of unsent bytes runs after all that changes responses
    authorization.init_app(app, settings)
    rest.accept_only_json(app)
    responses.init_app(app, settings)
    _serve_rest(app)
    if serve_sockets:
        from app.sockets import handlers  # noqa: PLC0415 - imports eventlet, which REST does not need
        from app.streams import service as stream_service  # noqa: PLC0415 - the same

        handlers.init_app(app, settings)
        stream_service.init_app(app)
    app.wsgi_app = ProgressFastPath(app, app.wsgi_app)  # type: ignore[method-assign]
    (rate_limits.start_sharing if serve_sockets else rate_limits.share_with_requests)(app)
    middleware.init_app(app, settings)  # around the sockets, which need the callers' addresses too
    return app


def _serve_rest(app: Flask) -> None:
    app.extensions["state_collector"] = StateCollector(GAUGES)
    snapshot_service.init_app(app)
    app.extensions["silent_processes"] = process_registry.silent_names
    app.url_map.merge_slashes = False  # Werkzeug would redirect `//` to the host that the caller names
    app.register_blueprint(health.blueprint)
    app.config.update(
        API_TITLE="Dashboard Realtime", API_VERSION="v1", OPENAPI_VERSION="3.1.0", OPENAPI_URL_PREFIX=None
    )
    rest.api.init_app(app, spec_kwargs=openapi.spec_options())
    for blueprint in API:
        rest.api.register_blueprint(blueprint)
    app.register_blueprint(documents)
    app.register_blueprint(pages)
    problems.init_app(app)  # last: flask-smorest registers error handlers of its own
