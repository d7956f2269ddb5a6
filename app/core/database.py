"""Column types, transactions, consistent reads, and the differences between SQLite and PostgreSQL."""

import math
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import Flask
from sqlalchemy import (
    Connection,
    Engine,
    delete,
    event,
    select,
    text,
    tuple_,
)  # fmt: skip
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool
from sqlalchemy.sql.dml import ReturningUpdate

from app.core.dependency_errors import OUTAGES, DatabaseBusy, as_outage
from app.core.extensions import Base, db
from app.core.final_writes import execute_writes

WRITE_WAIT_SECONDS = 10.0
DELETE_BATCH_SIZE = 500
DELETE_PAUSE_SECONDS = 0.02
PROBE_WAIT_SECONDS = 2.0
PING_AFTER_SECONDS = 1.0
_sqlite_write_lock = threading.Lock()
Row = TypeVar("Row")


def utc_now() -> datetime:
    """The current time, truncated to milliseconds, so that stored and serialized times are equal."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


@contextmanager
def transaction() -> Iterator[Session]:
    """One write transaction: commits at the end, rolls back on any error; make no network call inside.

    SQLite has one writer: a lock orders the writers of a process (greenlets can wait for it), and `BEGIN IMMEDIATE` is
    retried against other processes. Raises Outage (no write lock within 10 s, no connection, a full disk, read-only).
    IntegrityError passes through, since only the caller knows its meaning, as do errors in our code.
    `session.info` keeps what the transaction leaves for the time after its commit.
    """
    session: Session = db.session()
    session.rollback()
    session.info.clear()
    is_sqlite = _is_sqlite(session)
    if is_sqlite and not _sqlite_write_lock.acquire(timeout=WRITE_WAIT_SECONDS):
        OUTAGES.labels("database", DatabaseBusy.cause).inc()
        raise DatabaseBusy
    try:
        if is_sqlite:
            _begin_immediate(session)
        yield session
        execute_writes(session)
        session.commit()
    except BaseException as error:
        session.rollback()
        session.info.clear()
        if isinstance(error, DBAPIError) and (outage := as_outage(error)):
            raise outage from error
        raise
    finally:
        if is_sqlite:
            _sqlite_write_lock.release()


def _begin_immediate(session: Session, wait_seconds: float = WRITE_WAIT_SECONDS) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
        except OperationalError as error:
            session.rollback()
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.002, 0.01))  # noqa: S311 - spreads the retries; not for security
        else:
            return


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, record: Any) -> None:
    del record
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=0"):
            connection.execute(f"PRAGMA {pragma}")


def init_app(app: Flask) -> None:
    """A listener of every engine would make SQLAlchemy look for listeners around each statement on PostgreSQL too."""
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "begin", _begin_sqlite)


def _begin_sqlite(connection: Any) -> None:
    if kind := connection.get_execution_options().get("sqlite_begin", "DEFERRED"):
        connection.exec_driver_sql(f"BEGIN {kind}")


@event.listens_for(Pool, "checkin")
def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


@event.listens_for(Pool, "checkout", insert=True)  # before others count the connection
def _ping_idle_connection(connection: Any, record: Any, _proxy: Any) -> None:
    """Replace connections that the server closed. SQLAlchemy's own ping (`pool_pre_ping`) costs each use a round trip.

    A connection used within the last second is taken as it is: a server that restarts is away for longer.
    """
    used_at = record.info.get("used_at", math.inf)  # a new connection needs no ping
    if isinstance(connection, sqlite3.Connection) or time.monotonic() - used_at < PING_AFTER_SECONDS:
        return
    from psycopg import Error  # noqa: PLC0415 - start-up time with SQLite

    try:
        connection.autocommit = True
        connection.execute("SELECT 1")
        connection.autocommit = False
    except Error as error:
        raise InvalidatePoolError from error


def check_writable() -> str:
    """Write one row and return the schema's revision. Raises SQLAlchemyError; waits for a lock for 2 s at most."""
    session: Session = db.session()
    session.rollback()
    try:
        if _is_sqlite(session):
            _begin_immediate(session, PROBE_WAIT_SECONDS)
        else:
            session.execute(text("SELECT set_config('lock_timeout', '2s', true)"))
        write = text("UPDATE alembic_version SET version_num = version_num RETURNING version_num")
        revision = str(session.scalars(write).first() or "")
        session.commit()
        return revision
    finally:
        session.rollback()


def update_one(session: Session, statement: ReturningUpdate[Row], values: dict[str, Any] | None = None) -> Row | None:
    """The row after a conditional UPDATE … RETURNING; None if the condition did not hold."""
    options = {"populate_existing": True, "synchronize_session": False}
    return session.scalars(statement, values, execution_options=options).one_or_none()


def delete_in_batches(model: type[Base], condition: Any, deadline: float) -> int:
    """Delete the rows that meet `condition`, in short transactions with a pause after each.

    Stops at `deadline` (monotonic seconds); the next call continues. Returns the number of deleted rows.
    """
    columns = list(model.__table__.primary_key.columns)  # type: ignore[attr-defined]
    key = tuple_(*columns) if len(columns) > 1 else columns[0]
    batch_keys = select(*columns).where(condition).limit(DELETE_BATCH_SIZE)
    statement = delete(model).where(key.in_(batch_keys)).execution_options(synchronize_session=False)
    deleted = 0
    while time.monotonic() < deadline:
        with transaction() as session:
            result = session.execute(statement)
        batch = int(result.rowcount)  # type: ignore[attr-defined]
        deleted += batch
        if batch < DELETE_BATCH_SIZE:
            break
        time.sleep(DELETE_PAUSE_SECONDS)
    return deleted


@contextmanager
def consistent_read() -> Iterator[Session]:
    """A read-only transaction in which all statements see the state at the first statement.

    Loaded objects remain usable after the block. Writes are rejected on PostgreSQL and rolled back on SQLite.
    """
    session: Session = db.session()
    session.rollback()
    try:
        if not _is_sqlite(session):  # SQLite's deferred transaction is consistent by itself
            session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        yield session
        session.expunge_all()
    finally:
        session.rollback()


@contextmanager
def single_read() -> Iterator[Connection]:
    """A connection for one statement, which is consistent by itself: no transaction, so no round trips for one."""
    options = {"sqlite_begin": None} if db.engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    with db.engine.connect().execution_options(**options) as connection:
        yield connection
