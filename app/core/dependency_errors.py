"""Errors of the database and of Redis, classified as an outage with its cause or as a bug.

An outage is answered 503, logged and counted with its cause, and `dashboard doctor` names the remedy. Any other error
(an unknown column, a wrong type, a broken script) is a bug: it is not translated, and is answered 500.
"""

import logging
import re
import sqlite3
from typing import ClassVar

import redis
from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core import migration
from app.core.errors import DependencyUnavailable

logger = logging.getLogger(__name__)
OUTAGES = Counter("dashboard_dependency_errors_total", "Errors of database and Redis", ["dependency", "cause"])


class Outage(DependencyUnavailable):
    """An outage of the database or Redis: `dependency` and `cause` label its metric, `remedy` is for the operator."""

    dependency: ClassVar[str]
    cause: ClassVar[str]
    remedy: ClassVar[str]


class DatabaseUnavailable(Outage):
    dependency, cause, code = "database", "unreachable", "DATABASE_UNAVAILABLE"
    example = "The database did not answer."
    remedy = "start the database, or check DATABASE_URL"


class DatabaseBusy(Outage):
    dependency, cause, code = "database", "busy", "DATABASE_BUSY"
    example = "The database is busy with other writes."
    remedy = "end the transaction that holds the lock (pg_stat_activity; another program that has the SQLite file open)"


class DatabaseFull(Outage):
    dependency, cause, code = "database", "full", "DATABASE_FULL"
    example = "The database's disk is full."
    remedy = "free disk space for the database"


class DatabaseReadOnly(Outage):
    dependency, cause, code = "database", "read_only", "DATABASE_READ_ONLY"
    example = "The database takes no writes."
    remedy = "make it writable: use the primary, not a standby; this user needs write access to the file and its folder"


class SchemaOutdated(Outage):
    dependency, cause, code = "database", "schema", "SCHEMA_OUTDATED"
    example = "The database's schema is older than this release."
    remedy = "run `dashboard migrate`"


class RedisUnavailable(Outage):
    dependency, cause, code = "redis", "unreachable", "REDIS_UNAVAILABLE"
    example = "Redis did not answer."
    remedy = "start Redis, or check REDIS_URL and its password"


class RedisFull(Outage):
    dependency, cause, code = "redis", "full", "REDIS_FULL"
    example = "Redis is full and takes no writes."
    remedy = "raise `maxmemory`, or find what fills Redis"


class RedisReadOnly(Outage):
    dependency, cause, code = "redis", "read_only", "REDIS_READ_ONLY"
    example = "Redis is a replica and takes no writes."
    remedy = "point REDIS_URL at the primary, or make this server one: `REPLICAOF NO ONE`"


class RedisNotSaving(RedisReadOnly):
    cause = "not_saving"
    example = "Redis cannot save to its disk and takes no writes."
    remedy = "free disk space for Redis, or mend its folder's permissions: it takes writes again by itself"


# By the prefix of an SQLSTATE, longest first.
_SQL_STATES = {
    "25006": DatabaseReadOnly,
    "53100": DatabaseFull,
    "40001": DatabaseBusy,
    "40P01": DatabaseBusy,
    "55P03": DatabaseBusy,
    "57014": DatabaseBusy,
    "25P03": DatabaseUnavailable,
    "3D000": DatabaseUnavailable,
    "57P": DatabaseUnavailable,
    "08": DatabaseUnavailable,
    "28": DatabaseUnavailable,
    "53": DatabaseUnavailable,
    "58": DatabaseUnavailable,
}
# By SQLite's extended or primary result code.
_SQLITE_CODES = {
    sqlite3.SQLITE_IOERR_SHMSIZE: DatabaseFull,  # no space for the index of the write-ahead log
    sqlite3.SQLITE_BUSY: DatabaseBusy,
    sqlite3.SQLITE_LOCKED: DatabaseBusy,
    sqlite3.SQLITE_FULL: DatabaseFull,
    sqlite3.SQLITE_READONLY: DatabaseReadOnly,
    sqlite3.SQLITE_IOERR: DatabaseUnavailable,
    sqlite3.SQLITE_CANTOPEN: DatabaseUnavailable,
    sqlite3.SQLITE_NOTADB: DatabaseUnavailable,
    sqlite3.SQLITE_CORRUPT: DatabaseUnavailable,
    sqlite3.SQLITE_NOMEM: DatabaseUnavailable,
    sqlite3.SQLITE_PERM: DatabaseUnavailable,
}
_UNDEFINED_STATES = ("42P01", "42703")
_UNDEFINED_TEXTS = ("no such table", "no such column", "has no column named")
_REDIS_TYPES = (
    (redis.OutOfMemoryError, RedisFull),
    (redis.ReadOnlyError, RedisReadOnly),
    ((redis.ConnectionError, redis.TimeoutError, redis.exceptions.NoPermissionError), RedisUnavailable),
)
_REDIS_CODES = {
    "OOM": RedisFull,
    "READONLY": RedisReadOnly,
    "NOREPLICAS": RedisReadOnly,
    "MISCONF": RedisNotSaving,
    **dict.fromkeys(
        ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "NOAUTH", "WRONGPASS", "NOPERM"), RedisUnavailable
    ),
}
_REDIS_CODE = re.compile(rf"\b({'|'.join(_REDIS_CODES)})\b")


def show_zeros() -> None:
    """Initialize each counter to 0: Prometheus sees no increase in a counter that first appears as 1."""
    for outage in {*_SQL_STATES.values(), *_REDIS_CODES.values(), SchemaOutdated}:
        OUTAGES.labels(outage.dependency, outage.cause)


def outage_of(error: BaseException) -> type[Outage] | None:
    """The class of the outage that an error stands for; None if it is a bug, or no error of a dependency."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable
    if isinstance(error, DBAPIError):
        return _database_outage(error)
    return _redis_outage(error) if isinstance(error, redis.RedisError) else None


def _database_outage(error: DBAPIError) -> type[Outage] | None:
    if _is_undefined(error):
        return SchemaOutdated if migration.is_behind() else None
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", 0)
        return _SQLITE_CODES.get(code) or _SQLITE_CODES.get(code & 0xFF)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # the server sent no error: no connection, or it broke
        is_connection = error.connection_invalidated or isinstance(error, InterfaceError)
        return DatabaseUnavailable if is_connection or type(error.orig).__name__ == "OperationalError" else None
    return next((outage for start, outage in _SQL_STATES.items() if state.startswith(start)), None)


def _is_undefined(error: DBAPIError) -> bool:
    """Whether a table or column does not exist."""
    if getattr(error.orig, "sqlstate", None) in _UNDEFINED_STATES:
        return True
    return isinstance(error.orig, sqlite3.Error) and any(text in str(error.orig) for text in _UNDEFINED_TEXTS)


def _redis_outage(error: redis.RedisError) -> type[Outage] | None:
    """By the error's type, or by the code in its text, which redis-py removes from some errors and keeps in others."""
    for kind, outage in _REDIS_TYPES:
        if isinstance(error, kind):
            return outage
    found = _REDIS_CODE.search(str(error))
    return _REDIS_CODES[found[0]] if found else None


def as_outage(error: BaseException) -> Outage | None:
    """The error as an Outage, logged and counted with its cause; None if it is no outage."""
    outage = outage_of(error)
    if outage is None:
        return None
    OUTAGES.labels(outage.dependency, outage.cause).inc()
    extra = {"dependency": outage.dependency, "cause": outage.cause, "error": _first_line(error)}
    logger.error("dependency.failed", extra=extra)
    return outage()


def _first_line(error: BaseException) -> str:
    """The error's text without the statement and its parameters, which may hold a caller's input."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
