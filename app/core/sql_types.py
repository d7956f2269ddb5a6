"""Column types and SQL functions that SQLite and PostgreSQL write differently."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Float, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

MinorUnits = BigInteger
"""An amount of money in whole minor units (10⁻⁶ of the currency); an integer, because SQLite rounds Numeric."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, also on SQLite, which stores no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


class database_now(FunctionElement[datetime]):  # noqa: N801 - named like the SQL function it is
    """SQL: the current time of the database's clock plus `seconds`, comparable to stored times.

    Deadlines that one host sets and another one checks use this clock. SQLite's clock is its host's.
    """

    inherit_cache = True
    type = UtcDateTime()

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(literal(seconds, Float))


@compiles(database_now)
def _compile_now(element: Any, compiler: Any, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    if compiler.dialect.name == "sqlite":
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%.3f seconds', {seconds}))"
    return f"(date_trunc('milliseconds', clock_timestamp()) + make_interval(secs => {seconds}))"


class iso_text(FunctionElement[str]):  # noqa: N801 - named like the SQL function it is
    """SQL: a stored time as it is sent, in ISO 8601; spares answers with many rows a datetime for each."""

    inherit_cache = True
    type = String()


@compiles(iso_text)
def _compile_iso_text(element: Any, compiler: Any, **options: Any) -> str:
    stored = compiler.process(element.clauses, **options)
    if compiler.dialect.name == "sqlite":  # "2026-11-22 20:30:00.123000"
        return f"(substr({stored}, 1, 10) || 'T' || substr({stored}, 12, 12) || 'Z')"
    return f"""to_char({stored} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
