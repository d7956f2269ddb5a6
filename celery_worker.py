"""Entry of workers and beat: the Celery app with its tasks and schedule. Not patched: workers are prefork processes."""

from typing import Any

from celery import Task
from celery.signals import setup_logging

from app.background import create_background_app
from app.config import load_config
from app.core.extensions import celery, db
from app.observability import workers
from app.observability.requests import on_behalf_of
from app.observability.telemetry import init_logging
from tasks import SCHEDULE

settings = load_config()
flask_app = create_background_app(settings)


class ContextTask(Task):  # type: ignore[misc]
    """Runs each task in its own app context, so that its database session ends with it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with flask_app.app_context(), on_behalf_of(self.request.get("request_id") or ""):
            return self.run(*args, **kwargs)


@setup_logging.connect
def _init_logging(**_: Any) -> None:
    init_logging(settings)


workers.init(flask_app, settings)
celery.Task = ContextTask
celery.flask_app = flask_app
celery.conf.beat_schedule = SCHEDULE
celery.conf.imports = ("tasks",)

__all__ = ["celery", "db"]
