"""The app in the process of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import redis.utils
from flask import Flask
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from app.config import Config
from app.core.extensions import celery, db
from app.factory import create_app

redis.utils.get_lib_version = cache(redis.utils.get_lib_version)  # each connection parses the package's description

_compile = Rule.compile
_compiled: dict[tuple[Any, ...], dict[str, Any]] = {}


def _compile_once(rule: Rule) -> None:
    """Compile a rule as in an earlier app; to compile the rules again for each app is half of an app's cost."""
    key = (rule.rule, repr(rule.defaults), rule.subdomain, rule.strict_slashes, rule.merge_slashes, rule.websocket)
    if key not in _compiled:
        _compile(rule)
        _compiled[key] = {name: getattr(rule, name) for name in ("_parts", "_trace", "_converters", "arguments")}
        _compiled[key] |= {name: getattr(rule, name).__func__ for name in ("_build", "_build_unknown")}
    for name, value in _compiled[key].items():
        setattr(rule, name, value.__get__(rule, None) if callable(value) else value)


Rule.compile = _compile_once

# To compile a statement again in each app is a sixth of the cost of the tests with a database. A compiled statement is
# found by its dialect, of which each app has its own; all of a kind have the same settings.
DefaultDialect.__eq__ = lambda self, other: type(self) is type(other)
DefaultDialect.__hash__ = lambda self: hash(type(self))
_statements = LRUCache(5_000)


@contextmanager
def make_app(settings: Config) -> Iterator[Flask]:
    app = create_app(settings)
    app.testing = False  # errors become responses, as in production
    with app.app_context():
        db.engine._compiled_cache = _statements
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
