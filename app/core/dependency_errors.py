"""Errors of the database and of Redis, classified as an outage with its cause or as a bug.

An outage is answered 503, logged and counted with its cause, and `dashboard doctor` names the remedy. Any other error
(an unknown column, a wrong type, a broken script) is a bug: it is not translated, and is answered 500.
"""

import logging
import re
import sqlite3
from typing import Any, ClassVar

import redis
from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
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
    remedy = "start Redis, or check REDIS_URL and ROOMS_REDIS_URL and their passwords"


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


# By the prefixes of an SQLSTATE, or of SQLite's name of its result code; the first match counts.
_DATABASE_CODES = {
    DatabaseReadOnly: ("25006", "SQLITE_READONLY"),
    DatabaseFull: ("53100", "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"),  # no space for the log's index
    DatabaseBusy: ("40001", "40P01", "55P03", "57014", "SQLITE_BUSY", "SQLITE_LOCKED"),
    DatabaseUnavailable: (
        *("25P03", "3D000", "57P", "08", "28", "53", "58"),
        *("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_NOMEM", "SQLITE_PERM"),
    ),
}
_UNDEFINED_STATES = ("42P01", "42703")
_UNDEFINED_TEXTS = ("no such table", "no such column", "has no column named")
_REDIS_TYPES: dict[type[Outage], Any] = {
    RedisFull: redis.OutOfMemoryError,
    RedisReadOnly: redis.ReadOnlyError,
    RedisUnavailable: (
        *(redis.ConnectionError, redis.TimeoutError, redis.exceptions.NoPermissionError),
        *(redis.exceptions.ClusterError, redis.exceptions.TryAgainError, redis.exceptions.AskError),
    ),
}
_REDIS_CODES = {
    RedisFull: r"\bOOM\b",
    RedisReadOnly: r"\b(READONLY|NOREPLICAS)\b",
    RedisNotSaving: r"\bMISCONF\b",
    RedisUnavailable: r"\b(LOADING|MASTERDOWN|CLUSTERDOWN|BUSY|NOAUTH|WRONGPASS|NOPERM)\b",
}


def show_zeros() -> None:
    """Initialize each counter to 0: Prometheus sees no increase in a counter that first appears as 1."""
    outages: list[type[Outage]] = [*Outage.__subclasses__(), RedisNotSaving]
    for outage in outages:
        OUTAGES.labels(outage.dependency, outage.cause)


def outage_of(error: BaseException) -> type[Outage] | None:
    """The class of the outage that an error stands for; None if it is a bug, or no error of a dependency."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable
    if isinstance(error, DBAPIError):
        return _database_outage(error)
    if not isinstance(error, redis.RedisError):
        return None
    by_type = (outage for outage, types in _REDIS_TYPES.items() if isinstance(error, types))
    # redis-py removes the code from the text of some errors and keeps it in others.
    by_code = (outage for outage, codes in _REDIS_CODES.items() if re.search(codes, str(error)))
    return next(by_type, None) or next(by_code, None)


def _database_outage(error: DBAPIError) -> type[Outage] | None:
    is_sqlite = isinstance(error.orig, sqlite3.Error)
    code = getattr(error.orig, "sqlite_errorname" if is_sqlite else "sqlstate", None)
    is_undefined = is_sqlite and any(text in str(error.orig) for text in _UNDEFINED_TEXTS)
    if is_undefined or code in _UNDEFINED_STATES:
        return SchemaOutdated if migration.is_behind() else None
    if code is None:  # a server that sends no error cannot be reached, or the connection broke
        is_connection = error.connection_invalidated or isinstance(error, InterfaceError | OperationalError)
        return DatabaseUnavailable if is_connection and not is_sqlite else None
    return next((outage for outage, prefixes in _DATABASE_CODES.items() if code.startswith(prefixes)), None)


def as_outage(error: BaseException) -> Outage | None:
    """The error as an Outage, logged and counted with its cause; None if it is no outage."""
    outage = outage_of(error)
    if outage is None:
        return None
    OUTAGES.labels(outage.dependency, outage.cause).inc()
    # The text without the statement and its parameters, which may hold a caller's input.
    text = str(getattr(error, "orig", None) or error).partition("\n")[0]
    logger.error("dependency.failed", extra={"dependency": outage.dependency, "cause": outage.cause, "error": text})
    return outage()
