"""The extensions: database, Redis, Celery, Socket.IO. Created here unconfigured, configured by create_app()."""

from typing import Any, cast

import msgspec
import redis
from cachetools import LRUCache
from celery import Celery
from flask import Flask, current_app
from flask_socketio import SocketIO
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase

from app.config import Config
from app.core.concurrency import SharedCache
from app.core.redis_connection import RedisClock, RedisHealth, connect_redis

TIME_LIMITS = {"options": "-c statement_timeout=10000 -c lock_timeout=5000"}
BEHIND_POOLER = {"prepare_threshold": None}  # a pooler's connections change between transactions


class Base(DeclarativeBase):
    """Base class of all models."""


class OneDatabaseSession(Session):
    """Flask-SQLAlchemy's asks at each statement which of several databases has its table."""

    _engine: Engine | None = None

    def get_bind(self, *_args: Any, **_kwargs: Any) -> Engine:
        if self._engine is None:
            self._engine = db.engine
        return self._engine


db = SQLAlchemy(model_class=Base, session_options={"class_": OneDatabaseSession, "expire_on_commit": False})
socketio = SocketIO()
celery = Celery("dashboard")


def config() -> Config:
    """The running app's configuration."""
    return cast(Config, current_app.extensions["dashboard_config"])


def redis_client() -> redis.Redis:
    """The running app's Redis client, for commands; pub/sub uses a connection of its own."""
    return cast(redis.Redis, current_app.extensions["redis"])


def redis_clock() -> RedisClock:
    return cast(RedisClock, current_app.extensions["redis_clock"])


def redis_health() -> RedisHealth:
    return cast(RedisHealth, current_app.extensions["redis_health"])


def known_ids(kind: str) -> SharedCache[str, bool]:
    """Ids of rows that exist and are never deleted, as seen by this process; `kind` is `protocol` or `agent`."""
    return cast("SharedCache[str, bool]", current_app.extensions["known_ids"][kind])


def init_app(app: Flask, settings: Config) -> None:
    """Configure database and Redis; opens no connection."""
    app.extensions["dashboard_config"] = settings
    app.config.from_mapping(settings.public_values())
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    options = {
        "json_deserializer": msgspec.json.decode,  # a third of the time of the standard library's
        "pool_use_lifo": True,  # the connection used last has the warmest caches, and needs no ping
    }
    if settings.database_url.startswith("sqlite"):
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options | {"connect_args": {"timeout": 0}}
    else:
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options | {
            "isolation_level": "READ COMMITTED",  # stricter levels, if the server's default, abort concurrent writers
            "pool_size": 10,
            "max_overflow": 10,
            "pool_timeout": 5,
            "pool_recycle": 1800,
            "connect_args": {"connect_timeout": 3, **(BEHIND_POOLER if settings.database_pooler else TIME_LIMITS)},
        }
    db.init_app(app)
    app.extensions["known_ids"] = {kind: SharedCache(LRUCache(100_000)) for kind in ("protocol", "agent")}
    client = app.extensions["redis"] = connect_redis(settings.redis_url)
    app.extensions["redis_clock"] = RedisClock(client)
    app.extensions["redis_health"] = RedisHealth(settings.redis_url)
