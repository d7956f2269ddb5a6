"""What an error of the database or of Redis means: an outage with its cause, or a mistake in our code.

An outage is answered 503, logged and counted with its cause, and `dashboard doctor` names the remedy. Any other error
(an unknown column, a wrong type, a broken script) is a bug: it stays what it is, and is answered 500.
"""

import logging
import re
import sqlite3
from dataclasses import dataclass

import redis
from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core import schema_version
from app.core.errors import DependencyUnavailable

logger = logging.getLogger(__name__)
OUTAGES = Counter("dashboard_dependency_errors_total", "Errors of database and Redis", ["dependency", "cause"])


@dataclass(frozen=True)
class Outage:
    """Why a dependency does not do what it is asked for."""

    dependency: str
    cause: str
    code: str
    detail: str
    remedy: str


def _database(cause: str, code: str, detail: str, remedy: str) -> Outage:
    return Outage("database", cause, code, detail, remedy)


def _redis(cause: str, code: str, detail: str, remedy: str) -> Outage:
    return Outage("redis", cause, code, detail, remedy)


DATABASE_DOWN = _database(
    "unreachable",
    "DATABASE_UNAVAILABLE",
    "The database did not answer.",
    "start the database, or check DATABASE_URL",
)
DATABASE_BUSY = _database(
    "busy",
    "DATABASE_BUSY",
    "The database is busy with other writes.",
    "end the transaction that holds the lock (pg_stat_activity; another program that has the SQLite file open)",
)
DATABASE_FULL = _database("full", "DATABASE_FULL", "The database's disk is full.", "free disk space for the database")
DATABASE_READ_ONLY = _database(
    "read_only",
    "DATABASE_READ_ONLY",
    "The database takes no writes.",
    "make it writable: a standby is not the primary; a file or folder must be writable for the user who runs this",
)
SCHEMA_OUTDATED = _database(
    "schema",
    "SCHEMA_OUTDATED",
    "The database's schema is older than this release.",
    "run `dashboard migrate`",
)
REDIS_DOWN = _redis(
    "unreachable", "REDIS_UNAVAILABLE", "Redis did not answer.", "start Redis, or check REDIS_URL and its password"
)
REDIS_FULL = _redis(
    "full", "REDIS_FULL", "Redis is full and takes no writes.", "raise `maxmemory`, or find what fills Redis"
)
REDIS_READ_ONLY = _redis(
    "read_only",
    "REDIS_READ_ONLY",
    "Redis is a replica and takes no writes.",
    "point REDIS_URL at the primary, or make this server one: `REPLICAOF NO ONE`",
)
REDIS_NOT_SAVING = _redis(
    "not_saving",
    "REDIS_READ_ONLY",
    "Redis cannot save to its disk and takes no writes.",
    "free disk space for Redis, or mend its folder's permissions: it takes writes again by itself",
)

# By the beginning of an SQLSTATE, the longest first.
_SQL_STATES = {
    "25006": DATABASE_READ_ONLY,
    "53100": DATABASE_FULL,
    "40001": DATABASE_BUSY,
    "40P01": DATABASE_BUSY,
    "55P03": DATABASE_BUSY,
    "57014": DATABASE_BUSY,
    "25P03": DATABASE_DOWN,
    "3D000": DATABASE_DOWN,
    "57P": DATABASE_DOWN,
    "08": DATABASE_DOWN,
    "28": DATABASE_DOWN,
    "53": DATABASE_DOWN,
    "58": DATABASE_DOWN,
}
# By SQLite's primary result code.
_SQLITE_CODES = {
    sqlite3.SQLITE_BUSY: DATABASE_BUSY,
    sqlite3.SQLITE_LOCKED: DATABASE_BUSY,
    sqlite3.SQLITE_FULL: DATABASE_FULL,
    sqlite3.SQLITE_READONLY: DATABASE_READ_ONLY,
    sqlite3.SQLITE_IOERR: DATABASE_DOWN,
    sqlite3.SQLITE_CANTOPEN: DATABASE_DOWN,
    sqlite3.SQLITE_NOTADB: DATABASE_DOWN,
    sqlite3.SQLITE_CORRUPT: DATABASE_DOWN,
    sqlite3.SQLITE_NOMEM: DATABASE_DOWN,
    sqlite3.SQLITE_PERM: DATABASE_DOWN,
}
_UNDEFINED_STATES = ("42P01", "42703")
_UNDEFINED_WORDS = ("no such table", "no such column", "has no column named")
_REDIS_TYPES = (
    (redis.OutOfMemoryError, REDIS_FULL),
    (redis.ReadOnlyError, REDIS_READ_ONLY),
    ((redis.ConnectionError, redis.TimeoutError, redis.exceptions.NoPermissionError), REDIS_DOWN),
)
_REDIS_CODES = {
    "OOM": REDIS_FULL,
    "READONLY": REDIS_READ_ONLY,
    "NOREPLICAS": REDIS_READ_ONLY,
    "MISCONF": REDIS_NOT_SAVING,
    **dict.fromkeys(("LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "NOAUTH", "WRONGPASS", "NOPERM"), REDIS_DOWN),
}
_REDIS_CODE = re.compile(rf"\b({'|'.join(_REDIS_CODES)})\b")


def show_zeros() -> None:
    """Show each cause from 0 on: the increase of a counter that first appears as 1 is not seen by Prometheus."""
    for outage in {*_SQL_STATES.values(), *_REDIS_CODES.values(), SCHEMA_OUTDATED}:
        OUTAGES.labels(outage.dependency, outage.cause)


def outage_of(error: BaseException) -> Outage | None:
    """The outage behind an error; None when the error is none of a dependency's, or a mistake in our code."""
    if isinstance(error, PoolTimeout):
        return DATABASE_DOWN
    if isinstance(error, DBAPIError):
        return _database_outage(error)
    return _redis_outage(error) if isinstance(error, redis.RedisError) else None


def _database_outage(error: DBAPIError) -> Outage | None:
    if _is_undefined(error):
        return SCHEMA_OUTDATED if schema_version.is_behind() else None
    if isinstance(error.orig, sqlite3.Error):
        return _SQLITE_CODES.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # no word from the server: no connection, or it broke
        is_connection = error.connection_invalidated or isinstance(error, InterfaceError)
        return DATABASE_DOWN if is_connection or type(error.orig).__name__ == "OperationalError" else None
    return next((outage for start, outage in _SQL_STATES.items() if state.startswith(start)), None)


def _is_undefined(error: DBAPIError) -> bool:
    """A table or column is not there."""
    if getattr(error.orig, "sqlstate", None) in _UNDEFINED_STATES:
        return True
    return isinstance(error.orig, sqlite3.Error) and any(words in str(error.orig) for words in _UNDEFINED_WORDS)


def _redis_outage(error: redis.RedisError) -> Outage | None:
    """By the error's type, or by the code in its text: redis-py strips the code of some errors and wraps others."""
    for kind, outage in _REDIS_TYPES:
        if isinstance(error, kind):
            return outage
    found = _REDIS_CODE.search(str(error))
    return _REDIS_CODES[found[0]] if found else None


def as_refusal(error: BaseException) -> DependencyUnavailable | None:
    """The error as a 503, logged and counted with its cause; None when it is no outage."""
    outage = outage_of(error)
    if outage is None:
        return None
    OUTAGES.labels(outage.dependency, outage.cause).inc()
    extra = {"dependency": outage.dependency, "cause": outage.cause, "error": _first_line(error)}
    logger.error("dependency.failed", extra=extra)
    return DependencyUnavailable(outage.detail, code=outage.code)


def _first_line(error: BaseException) -> str:
    """Without the statement and its parameters, which may hold what a caller sent."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
