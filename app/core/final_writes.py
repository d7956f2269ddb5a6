"""Writes that nothing else in their transaction reads: they are sent together, right before its commit.

On PostgreSQL they are one statement with a common table expression for each, so one round trip instead of several.
SQLite has no such statements and needs no round trips: it executes them one after the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import Session

WRITES = "final_writes"  # the key in `session.info`


class Counter(NamedTuple):
    """Numbers rows: the newest number is the `column` of the counter's row with the same `key`, locked at the end."""

    table: sa.Table
    key: str
    column: str


class _Shape(NamedTuple):
    """What writes have in common that are one statement with other values."""

    table: sa.Table
    columns: tuple[str, ...]
    key: tuple[str, ...]
    returning: tuple[str, ...]
    counter: Counter | None


@dataclass
class Write:
    """Rows to insert with the same columns; with a `key`, the new values of the row that these columns identify.

    With a `counter` the rows, which have one key, are numbered in their order in its column. `returned` has the columns
    `returning` of each row, in any order, once the writes were executed.
    """

    table: sa.Table
    rows: Sequence[dict[str, Any]]
    key: tuple[str, ...] = ()
    returning: tuple[str, ...] = ()
    counter: Counter | None = None
    returned: list[dict[str, Any]] = field(default_factory=list)

    @property
    def shape(self) -> _Shape:
        return _Shape(self.table, tuple(self.rows[0]), self.key, self.returning, self.counter)


def write_before_commit(session: Session, write: Write) -> None:
    """Add a write to the transaction, after those before it."""
    session.info.setdefault(WRITES, []).append(write)


def execute_writes(session: Session) -> None:
    """Execute what was added; writes into one table in their order."""
    session.flush()  # counters are locked after all else
    writes: list[Write] = session.info.pop(WRITES, [])
    connection = session.connection()  # its `execute` takes three quarters of the time of the session's
    has_round_trips = connection.dialect.name == "postgresql"
    for group in _groups(writes) if has_round_trips else ([each] for each in writes):
        if len(group) > 1:
            _execute_together(connection, group)
        else:
            _execute(connection, group[0])


def _groups(writes: Sequence[Write]) -> Iterator[list[Write]]:
    """Those that one statement may hold: one row of each table."""
    group: list[Write] = []
    for write in writes:
        if group and (len(write.rows) > 1 or any(len(e.rows) > 1 or e.table is write.table for e in group)):
            yield group
            group = []
        group.append(write)
    if group:
        yield group


def _execute(connection: Connection, write: Write) -> None:
    rows, shape = write.rows, write.shape
    if write.counter is not None:
        rows = list(_numbered(connection, write, write.counter))
        shape = shape._replace(columns=tuple(rows[0]), counter=None)
    values = [_parameters(0, row) for row in rows]
    result = connection.execute(_statement(0, shape), values if len(values) > 1 else values[0])
    if write.returning:
        write.returned = [dict(row) for row in result.mappings()]


def _numbered(connection: Connection, write: Write, counter: Counter) -> Iterator[dict[str, Any]]:
    values = {"its_key": write.rows[0][counter.key], "count": len(write.rows)}
    last = connection.execute(_next_number(counter), values).scalar_one()
    for number, row in enumerate(write.rows, last - len(write.rows) + 1):
        yield row | {counter.column: number}


def _execute_together(connection: Connection, writes: Sequence[Write]) -> None:
    parameters: dict[str, Any] = {}
    for number, write in enumerate(writes):
        parameters |= _parameters(number, write.rows[0])
    row = connection.execute(_combined(tuple(each.shape for each in writes)), parameters).mappings().one()
    for number, write in enumerate(writes):
        write.returned = [{name: row[f"w{number}_{name}"] for name in write.returning}]


def _parameters(number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {f"w{number}_{name}": value for name, value in row.items()}


@lru_cache(maxsize=256)
def _next_number(counter: Counter) -> Any:
    counters, newest = counter.table, counter.table.c[counter.column]
    statement = sa.update(counters).where(counters.c[counter.key] == sa.bindparam("its_key"))
    return statement.values({counter.column: newest + sa.bindparam("count")}).returning(newest)


@lru_cache(maxsize=256)
def _statement(number: int, shape: _Shape) -> Any:
    table, columns, key, returning, counter = shape
    bound: dict[str, Any] = {name: sa.bindparam(f"w{number}_{name}", type_=table.c[name].type) for name in columns}
    if key:
        is_its = [table.c[name] == bound.pop(name) for name in key]
        return sa.update(table).where(*is_its).values(bound)
    statement = sa.insert(table)
    if counter is None:
        statement = statement.values(bound)
    else:
        newest = counter.table.c[counter.column]
        is_its_counter = counter.table.c[counter.key] == bound[counter.key]
        numbered = sa.update(counter.table).where(is_its_counter).values({counter.column: newest + 1})
        bound[counter.column] = numbered.returning(newest).cte(f"n{number}").c[counter.column]
        statement = statement.from_select(list(bound), sa.select(*bound.values()))
    return statement.returning(*(table.c[name] for name in returning)) if returning else statement


@lru_cache(maxsize=256)
def _combined(shapes: tuple[_Shape, ...]) -> sa.Select[Any]:
    parts = [_statement(number, shape).cte(f"w{number}") for number, shape in enumerate(shapes)]
    returned = [
        part.c[name].label(f"w{number}_{name}")
        for number, (part, shape) in enumerate(zip(parts, shapes, strict=True))
        for name in shape.returning
    ]
    return sa.select(*returned or [sa.literal(1)]).add_cte(*parts)
