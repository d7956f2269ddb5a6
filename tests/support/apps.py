"""The app in the process of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask

from app.config import Config
from app.core.extensions import celery, db
from app.factory import create_app


@contextmanager
def make_app(settings: Config) -> Iterator[Flask]:
    app = create_app(settings)
    app.testing = False  # errors become responses, as in production
    try:
        yield app
    finally:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()
        app.extensions["redis"].close()
        forget_broker()


def forget_broker() -> None:
    """Drop the connections that the process-wide Celery object keeps to the previous test's broker."""
    celery.close()
    celery.amqp._producer_pool = None
