"""The application without HTTP, for workers, beat and commands: database, Redis, Celery and the rooms.

It is a module of its own because routes, schemas and their documents are half of what a start costs.
"""

from flask import Flask

from app.config import Config, load_config
from app.core import celery_config, dependency_errors, extensions
from app.observability import exporters, pools, requests, workers
from app.realtime import collectors, scripts


def create_background_app(settings: Config | None = None) -> Flask:
    """Make an application that serves no request. Opens no connection. Raises ConfigError."""
    settings = settings or load_config()
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    extensions.init_app(app, settings)
    celery_config.configure(extensions.celery, settings)
    pools.init()
    workers.init_publishing()
    requests.init_app(app)
    exporters.instrument(app, settings)  # after the request has its id
    scripts.init_app(app)
    collectors.initialize_counters()
    dependency_errors.show_zeros()
    return app
