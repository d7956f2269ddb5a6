"""The app in the process of the tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from app.config import Config
from app.core.extensions import celery, db
from app.factory import create_app

_compile_builder = Rule._compile_builder
_builders: dict[tuple[str, str, bool], Callable[..., Any]] = {}


def _builder(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
    """The function that builds a rule's URLs; to compile it again for each app is half of an app's cost."""
    key = (rule.rule, repr(rule.defaults), append_unknown)
    if key not in _builders:
        _builders[key] = _compile_builder(rule, append_unknown)
    return _builders[key]


Rule._compile_builder = _builder


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
