"""Reading many vulnerabilities: the list with its filters and orders, and the snapshot's section."""

from typing import Any

from sqlalchemy import Select, func, select

from app.extensions import db
from app.paging import Page, cursor_keys, page_of
from app.protocols.service import get as get_protocol
from app.vulnerabilities.models import Vulnerability
from app.vulnerabilities.schemas import VulnerabilityCounts, VulnerabilitySchema
from app.vulnerabilities.states import OPEN, Severity, Status

OPEN_SHOWN = 200


def list_of(
    protocol_id: str,
    *,
    status: str | None,
    severity: str | None,
    sort: str,
    limit: int,
    cursor: list[Any] | None,
) -> Page:
    """By date (newest first) or by severity (gravest first, then newest). Raises NotFound."""
    get_protocol(protocol_id)
    query = select(Vulnerability).where(Vulnerability.protocol_id == protocol_id).limit(limit + 1)
    if status:
        query = query.where(Vulnerability.status == status)
    if severity:
        query = query.where(Vulnerability.severity == severity)
    if sort == "severity":
        rows = db.session.scalars(_gravest_first(query, cursor_keys(cursor, int, str)))
        return page_of(list(rows), limit, lambda each: [each.severity_rank, each.id])
    rows = db.session.scalars(_newest_first(query, cursor_keys(cursor, str)))
    return page_of(list(rows), limit, lambda each: [each.id])


_Query = Select[Vulnerability]


def _newest_first(query: _Query, after: list[Any] | None) -> _Query:
    if after:
        query = query.where(Vulnerability.id < after[0])
    return query.order_by(Vulnerability.id.desc())


def _gravest_first(query: _Query, after: list[Any] | None) -> _Query:
    if after:
        rank, last_id = after
        same_rank = (Vulnerability.severity_rank == rank) & (Vulnerability.id < last_id)
        query = query.where((Vulnerability.severity_rank > rank) | same_rank)
    return query.order_by(Vulnerability.severity_rank, Vulnerability.id.desc())


def counts(protocol_ids: list[str] | None) -> dict[str, Any]:
    """How many there are by status and by severity, every status and severity named; `None`: in all protocols."""
    query = select(Vulnerability.status, Vulnerability.severity, func.count()).group_by(
        Vulnerability.status, Vulnerability.severity
    )
    if protocol_ids is not None:
        query = query.where(Vulnerability.protocol_id.in_(protocol_ids))
    by_status = dict.fromkeys(map(str, Status), 0)
    by_severity = dict.fromkeys(map(str, Severity), 0)
    for status, severity, count in db.session.execute(query):
        by_status[status] += count
        by_severity[severity] += count
    return {"total": sum(by_status.values()), "by_severity": by_severity, "by_status": by_status}


def snapshot_section(protocol_id: str) -> dict[str, Any]:
    """The open ones, newest first and at most 200, and how many there are of each kind."""
    query = select(Vulnerability).where(
        Vulnerability.protocol_id == protocol_id, Vulnerability.status.in_([each.value for each in OPEN])
    )
    newest = db.session.scalars(query.order_by(Vulnerability.id.desc()).limit(OPEN_SHOWN)).all()
    return {
        "open": VulnerabilitySchema(many=True).dump(newest),
        "counts": VulnerabilityCounts().dump(counts([protocol_id])),
    }
