"""Writes that nothing else in their transaction reads: they are sent together, right before its commit.

On PostgreSQL they are one statement with a common table expression for each, so one round trip instead of several.
SQLite has no such statements and needs no round trips: it executes them one after the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

WRITES = "final_writes"  # the key in `session.info`


@dataclass
class Write:
    """Rows to insert with the same columns; with a `key`, the new values of the row that these columns identify.

    `returned` has the columns `returning` of each row, in any order, once the writes were executed.
    """

    table: sa.Table
    rows: Sequence[dict[str, Any]]
    key: tuple[str, ...] = ()
    returning: tuple[str, ...] = ()
    returned: list[dict[str, Any]] = field(default_factory=list)

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.table, tuple(self.rows[0]), self.key, self.returning


def write_before_commit(session: Session, write: Write) -> None:
    """Add a write to the transaction, after those before it."""
    session.info.setdefault(WRITES, []).append(write)


def execute_writes(session: Session) -> None:
    """Execute what was added; writes into one table in their order."""
    writes: list[Write] = session.info.pop(WRITES, [])
    has_round_trips = session.get_bind().dialect.name == "postgresql"
    for group in _groups(writes) if has_round_trips else ([each] for each in writes):
        if len(group) > 1:
            _execute_together(session, group)
        else:
            _execute(session, group[0])


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


def _execute(session: Session, write: Write) -> None:
    rows = [_parameters(0, row) for row in write.rows]
    result = session.execute(_statement(0, *write.shape), rows if len(rows) > 1 else rows[0])
    if write.returning:
        write.returned = [dict(row) for row in result.mappings()]


def _execute_together(session: Session, writes: Sequence[Write]) -> None:
    parameters: dict[str, Any] = {}
    for number, write in enumerate(writes):
        parameters |= _parameters(number, write.rows[0])
    row = session.execute(_combined(tuple(each.shape for each in writes)), parameters).mappings().one()
    for number, write in enumerate(writes):
        write.returned = [{name: row[f"w{number}_{name}"] for name in write.returning}]


def _parameters(number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {f"w{number}_{name}": value for name, value in row.items()}


@lru_cache(maxsize=256)
def _statement(
    number: int, table: sa.Table, columns: tuple[str, ...], key: tuple[str, ...], returning: tuple[str, ...]
) -> Any:
    bound = {name: sa.bindparam(f"w{number}_{name}", type_=table.c[name].type) for name in columns}
    if key:
        is_its = [table.c[name] == bound.pop(name) for name in key]
        return sa.update(table).where(*is_its).values(bound)
    statement = sa.insert(table).values(bound)
    return statement.returning(*(table.c[name] for name in returning)) if returning else statement


@lru_cache(maxsize=256)
def _combined(shapes: tuple[tuple[Any, ...], ...]) -> sa.Select[Any]:
    parts = [_statement(number, *shape).cte(f"w{number}") for number, shape in enumerate(shapes)]
    returned = [
        part.c[name].label(f"w{number}_{name}")
        for number, (part, shape) in enumerate(zip(parts, shapes, strict=True))
        for name in shape[-1]
    ]
    return sa.select(*returned or [sa.literal(1)]).add_cte(*parts)
