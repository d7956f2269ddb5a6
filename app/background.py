"""The application without HTTP, for workers, beat and commands: database, Redis, Celery and the rooms.

It is separate from the factory because importing routes, schemas and their documents is half of the start-up time.
"""

from flask import Flask

from app.config import Config, load_config
from app.core import celery_config, dependency_errors, extensions, redis_nodes
from app.observability import requests, telemetry, workers
from app.realtime import collectors, scripts


def create_background_app(settings: Config | None = None) -> Flask:
    """Create an application that serves no request. Opens no connection. Raises ConfigError."""
    settings = settings or load_config()
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    extensions.init_app(app, settings)
    celery_config.configure(extensions.celery, settings)
    workers.init_publishing()
    requests.init_app(app)
    telemetry.instrument(app, settings)  # after requests: spans carry the request id
    scripts.init_app(app)
    collectors.initialize_counters()
    dependency_errors.show_zeros()
    redis_nodes.show_zeros()
    return app
