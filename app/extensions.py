"""The objects that reach outside: database, Redis, Celery, Socket.IO. Made here empty, wired in create_app()."""

from typing import Any, cast

import redis
from cachetools import LRUCache
from celery import Celery
from flask import Flask, current_app
from flask_socketio import SocketIO
from flask_sqlalchemy import SQLAlchemy
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel
from sqlalchemy.orm import DeclarativeBase

from app import sentinel
from app.config import Config

COMMAND_TIMEOUT_SECONDS = 1.0


class Base(DeclarativeBase):
    """Root of all models."""


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})
socketio = SocketIO()
celery = Celery("dashboard")


def config() -> Config:
    """The running app's configuration."""
    return cast(Config, current_app.extensions["dashboard_config"])


def redis_client() -> redis.Redis:
    """The running app's Redis connection pool, for commands (never for blocking reads)."""
    return cast(redis.Redis, current_app.extensions["redis"])


def known_ids(kind: str) -> LRUCache[str, bool]:
    """Ids of things that are never deleted and were seen in the database by this process."""
    return cast("LRUCache[str, bool]", current_app.extensions["known_ids"][kind])


def connect_redis(url: str, *, blocking: bool = False, retries: int = 2) -> redis.Redis:
    """A client for `url`. `blocking=True` for pub/sub, whose reads wait for as long as nothing happens.

    redis-py's own defaults hang for a minute on a blocking read and take 3 s to report a dead server.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": COMMAND_TIMEOUT_SECONDS,
        "socket_timeout": None if blocking else COMMAND_TIMEOUT_SECONDS,
        "health_check_interval": 15,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries),
        "protocol": 2,
    }
    if url.startswith(sentinel.SCHEME):
        return _behind_sentinel(sentinel.parse(url), options)
    return redis.Redis.from_url(url, **options)


def _behind_sentinel(address: sentinel.SentinelAddress, options: dict[str, Any]) -> redis.Redis:
    waits = {name: options[name] for name in ("socket_connect_timeout", "socket_timeout")}
    asked = Sentinel(address.sentinels, sentinel_kwargs={**waits, **address.sentinel_login})
    return cast(redis.Redis, asked.master_for(address.service, db=address.database, **address.login, **options))


def init_app(app: Flask, settings: Config) -> None:
    """Wire database and Redis; opens no connection."""
    app.extensions["dashboard_config"] = settings
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    if settings.database_url.startswith("sqlite"):
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"timeout": 0}}
    else:
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
            "pool_size": 10,
            "max_overflow": 10,
            "pool_timeout": 5,
            "pool_pre_ping": True,
            "pool_recycle": 1800,
            "connect_args": {"connect_timeout": 3, "options": "-c statement_timeout=10000 -c lock_timeout=5000"},
        }
    db.init_app(app)
    app.extensions["known_ids"] = {kind: LRUCache(maxsize=100_000) for kind in ("protocol", "agent")}
    app.extensions["redis"] = connect_redis(settings.redis_url)
