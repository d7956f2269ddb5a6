"""Lists and numbers of vulnerabilities, and their part of a snapshot."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec
from marshmallow import fields
from sqlalchemy import ColumnElement, String, cast, func, select, true

from app.core.extensions import db
from app.core.pagination import Page, cursor_keys, made_between, page_by_key, page_of
from app.core.schemas import Money, NumberText, Timestamp
from app.core.sql_types import iso_text
from app.core.values import format_amount
from app.protocols import service as protocols
from app.vulnerabilities.models import HAS_RESERVATION, Severity, Status, Vulnerability
from app.vulnerabilities.schemas import VulnerabilityCounts, VulnerabilitySchema

# Bounds of a snapshot, so that a thousand clients may reconnect at once: 0.6 MB with descriptions of 300 characters,
# never more than 3 MB of text.
MAX_OPEN_SHOWN = 1000
MAX_OPEN_CHARACTERS = 2_000_000
OPEN_STATUSES = (Status.PENDING.value, Status.CONFIRMED.value)
_encode = msgspec.json.Encoder().encode
_table = Vulnerability.__table__.c  # its rows take half of the time of the model's
_COUNTS = VulnerabilityCounts()
_FIELDS = {str(field.data_key): field for field in VulnerabilitySchema().dump_fields.values()}


def _column(name: str, field: fields.Field[Any]) -> ColumnElement[Any]:
    """The column of a field as it is sent, which spares a conversion of each value; amounts are formatted later."""
    column: ColumnElement[Any] = _table[str(field.attribute or field.name)]
    if isinstance(field, Timestamp):
        column = iso_text(column)
    elif isinstance(field, NumberText):
        column = cast(column, String)
    return column.label(name)


_COLUMNS = tuple(_column(*each) for each in _FIELDS.items())
_MONEY = tuple(name for name, field in _FIELDS.items() if isinstance(field, Money))


def list_vulnerabilities(
    protocol_id: str,
    *,
    status: str | None,
    severity: str | None,
    reserved: bool | None,
    since: datetime | None,
    until: datetime | None,
    sort: str,
    limit: int,
    cursor: list[Any] | None,
) -> Page:
    """By date (newest first) or by severity (most severe first, then newest). Raises NotFound."""
    protocols.get(protocol_id)
    filters = {"status": status, "severity": severity}
    wanted = {name: value for name, value in filters.items() if value}
    query = select(Vulnerability).filter_by(protocol_id=protocol_id, **wanted)
    if reserved is not None:
        query = query.where(HAS_RESERVATION if reserved else Vulnerability.reserved_minor == 0)
    query = made_between(query, Vulnerability.created_at, since, until)
    if sort != "severity":
        return page_by_key(query, Vulnerability.id, limit, cursor)
    if after := cursor_keys(cursor, int, str):
        rank, last_id = after
        same_rank = (Vulnerability.severity_rank == rank) & (Vulnerability.id < last_id)
        query = query.where((Vulnerability.severity_rank > rank) | same_rank)
    rows = db.session.scalars(query.order_by(Vulnerability.severity_rank, Vulnerability.id.desc()).limit(limit + 1))
    return page_of(list(rows), limit, lambda each: [each.severity_rank, each.id])


def counts(protocol_ids: list[str] | None) -> dict[str, Any]:
    """Numbers by status and by severity, including zeros; `None` counts all protocols."""
    is_counted = true() if protocol_ids is None else _table.protocol_id.in_(protocol_ids)

    def count_by(column: Any) -> dict[Any, int]:
        """One statement for each column, because each has an index that answers it."""
        return dict(db.session.execute(select(column, func.count()).where(is_counted).group_by(column)).tuples().all())

    by_status, by_rank = count_by(_table.status), count_by(_table.severity_rank)
    return {
        "total": sum(by_status.values()),
        "by_severity": {str(each): by_rank.get(each.rank, 0) for each in Severity},
        "by_status": {str(each): by_status.get(each.value, 0) for each in Status},
    }


class OpenSection(NamedTuple):
    """The newest open vulnerabilities that fit a snapshot, whether there are more, and all counts, as JSON.

    `items`: the JSON of each by its id, newest first, and the length of its description.
    """

    text: msgspec.Raw
    items: dict[str, tuple[msgspec.Raw, int]]
    is_truncated: bool


def snapshot_section(
    protocol_id: str, earlier: OpenSection | None = None, changed: Collection[str] = ()
) -> OpenSection:
    """The section as it is now; of an `earlier` one only those are read again that have `changed` since."""
    numbers = counts([protocol_id])
    items = {} if earlier is None else earlier.items
    has_older = earlier is None or earlier.is_truncated
    oldest = min(items, default="") if has_older else ""
    known = {vulnerability_id: each for vulnerability_id, each in items.items() if vulnerability_id not in changed}
    if earlier is not None:
        known |= _open_items(protocol_id, _table.id.in_(changed), _table.id >= oldest)
    newest_first: Iterable[tuple[str, tuple[msgspec.Raw, int]]] = sorted(known.items(), reverse=True)
    if has_older:
        newest_first = chain(newest_first, _open_items(protocol_id, _table.id < oldest if items else true()))
    shown: dict[str, tuple[msgspec.Raw, int]] = {}
    characters = 0
    for vulnerability_id, item in islice(newest_first, MAX_OPEN_SHOWN):
        characters += item[1]
        if characters > MAX_OPEN_CHARACTERS:
            break
        shown[vulnerability_id] = item
    is_truncated = len(shown) < sum(numbers["by_status"][each] for each in OPEN_STATUSES)
    section = {"open": [text for text, _ in shown.values()], "openTruncated": is_truncated}
    text = _encode(section | {"counts": _COUNTS.dump(numbers)})
    return OpenSection(msgspec.Raw(text), shown, is_truncated)


def _open_items(protocol_id: str, *conditions: ColumnElement[bool]) -> Iterator[tuple[str, tuple[msgspec.Raw, int]]]:
    """The id, JSON and length of the description of each open vulnerability that meets the conditions, newest first."""
    query = select(*_COLUMNS).where(_table.protocol_id == protocol_id, _table.status.in_(OPEN_STATUSES), *conditions)
    newest_first = query.order_by(_table.id.desc()).limit(MAX_OPEN_SHOWN)
    with db.session.execute(newest_first.execution_options(yield_per=200)) as rows:
        for row in rows:
            item = dict(zip(_FIELDS, row, strict=True))
            for name in _MONEY:
                item[name] = None if item[name] is None else format_amount(item[name])
            yield item["id"], (msgspec.Raw(_encode(item)), len(item["description"] or ""))
