"""The application without HTTP, for workers, beat and commands: database, Redis, Celery and the rooms.

It is separate from the factory because importing routes, schemas and their documents is half of the start-up time.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask

from app.config import Config, load_config
from app.core import celery_config, database, dependency_errors, extensions, redis_nodes
from app.observability import requests, telemetry, workers
from app.realtime import collectors, outbox, scripts


class _SyncFlask(Flask):
    """Has no coroutines: Flask looks for them fifteen times in a request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_background_app(settings: Config | None = None) -> Flask:
    """Create an application that serves no request. Opens no connection. Raises ConfigError."""
    settings = settings or load_config()
    app = _SyncFlask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    extensions.init_app(app, settings)
    database.init_app(app)
    celery_config.configure(extensions.celery, settings)
    workers.init_publishing()
    requests.init_app(app)
    telemetry.instrument(app, settings)  # after requests: spans carry the request id
    scripts.init_app(app)
    outbox.init_app(app)
    collectors.initialize_counters()
    dependency_errors.show_zeros()
    redis_nodes.show_zeros()
    return app
