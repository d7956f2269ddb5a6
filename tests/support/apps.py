"""The app inside the test's process."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask

from app.config import Config
from app.core.extensions import celery, db
from app.factory import create_app


@contextmanager
def make_app(settings: Config) -> Iterator[Flask]:
    app = create_app(settings)
    app.testing = False  # errors become answers, as they do in production
    try:
        yield app
    finally:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()
        app.extensions["redis"].close()
        _forget_broker()


def _forget_broker() -> None:
    """Celery is one object for the process and keeps connections to the broker of the test before."""
    celery.close()
    celery.amqp._producer_pool = None
