"""Vulnerabilities are filed, then confirmed or rejected: each change is one conditional UPDATE with its event."""

from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import ColumnElement, func, select, true, update
from sqlalchemy.orm import Session

from app.audit.service import AuditAction, record_audit
from app.auth.authorization import check_acts_for_itself
from app.auth.permissions import Role
from app.auth.tokens import Principal
from app.core.database import transaction, update_one, utc_now
from app.core.errors import AlreadyReserved, DomainError, InvalidTransition, VulnerabilityNotFound
from app.core.extensions import db
from app.core.pagination import Page, cursor_keys, page_by_key, page_of
from app.core.schemas import is_identifier
from app.core.values import format_amount, iso_timestamp
from app.http.idempotency import claim_key, store_response
from app.protocols import service as protocols
from app.protocols.rules import ChangeType
from app.realtime import outbox
from app.realtime.events import EventType
from app.vulnerabilities.models import PREVIOUS, Severity, Status, Vulnerability
from app.vulnerabilities.schemas import VulnDiscoveredData, VulnerabilityCounts, VulnerabilitySchema

# Bounds of a snapshot, so that a thousand clients may reconnect at once: 0.6 MB with descriptions of 300 characters,
# never more than 3 MB of text.
MAX_OPEN_SHOWN = 1000
MAX_OPEN_CHARACTERS = 2_000_000
_DISCOVERED = VulnDiscoveredData()
_COLUMNS = tuple(
    getattr(Vulnerability, field.attribute or name) for name, field in VulnerabilitySchema().dump_fields.items()
)


def get(vulnerability_id: str, principal: Principal) -> Vulnerability:
    """Raises NotFound, also for a vulnerability of a protocol that the token does not grant."""
    known = is_identifier(vulnerability_id)
    vulnerability = db.session.get(Vulnerability, vulnerability_id, populate_existing=True) if known else None
    if vulnerability is None or not principal.grants(vulnerability.protocol_id):
        raise VulnerabilityNotFound(f"There is no vulnerability {vulnerability_id!r}.")
    return vulnerability


def list_vulnerabilities(
    protocol_id: str, *, status: str | None, severity: str | None, sort: str, limit: int, cursor: list[Any] | None
) -> Page:
    """By date (newest first) or by severity (most severe first, then newest). Raises NotFound."""
    protocols.get(protocol_id)
    filters = {"status": status, "severity": severity}
    wanted = {name: value for name, value in filters.items() if value}
    query = select(Vulnerability).filter_by(protocol_id=protocol_id, **wanted)
    if sort != "severity":
        return page_by_key(query, Vulnerability.id, limit, cursor)
    if after := cursor_keys(cursor, int, str):
        rank, last_id = after
        same_rank = (Vulnerability.severity_rank == rank) & (Vulnerability.id < last_id)
        query = query.where((Vulnerability.severity_rank > rank) | same_rank)
    rows = db.session.scalars(query.order_by(Vulnerability.severity_rank, Vulnerability.id.desc()).limit(limit + 1))
    return page_of(list(rows), limit, lambda each: [each.severity_rank, each.id])


def file(protocol_id: str, fields: dict[str, Any], principal: Principal) -> Vulnerability:
    """Store a new vulnerability. If its bounty cannot be reserved, nothing is stored.

    Raises NotFound, Forbidden (an agent files only for itself), Conflict (INSUFFICIENT_FUNDS).
    """
    agent_id = fields["agent_id"] or (principal.subject if principal.role is Role.AGENT else None)
    check_acts_for_itself(principal, agent_id)
    protocols.get(protocol_id)
    now = utc_now()
    vulnerability = Vulnerability(
        id=str(uuid.uuid7()),
        protocol_id=protocol_id,
        title=fields["title"],
        description=fields["description"],
        severity=fields["severity"],
        severity_rank=Severity(fields["severity"]).rank,
        status=Status.PENDING.value,
        bounty_minor=fields["bounty"],
        reserved_minor=0,
        agent_id=agent_id,
        filed_by=principal.subject,
        version=1,
        created_at=now,
        updated_at=now,
    )
    with transaction() as session:
        claim_key(session)
        session.add(vulnerability)
        session.flush()
        protocols.lock_pool(session, protocol_id)
        outbox.append(session, protocol_id, EventType.VULN_DISCOVERED, _DISCOVERED.dump(vulnerability))
        change_reservation(session, vulnerability, fields["bounty"] or 0, principal.subject)
        store_response(session, vulnerability)
    outbox.relay(protocol_id)
    return vulnerability


def confirm(vulnerability_id: str, bounty_minor: int | None, principal: Principal) -> Vulnerability:
    """PENDING → CONFIRMED; `bounty_minor` is reserved if the vulnerability has no reservation yet.

    Raises NotFound, Conflict (INVALID_TRANSITION, ALREADY_RESERVED, INSUFFICIENT_FUNDS).
    """
    get(vulnerability_id, principal)
    with transaction() as session:
        claim_key(session)
        vulnerability = transition(session, vulnerability_id, Status.CONFIRMED, decided_by=principal.subject)
        if bounty_minor is not None:
            if vulnerability.reserved_minor:
                raise AlreadyReserved
            change_reservation(session, vulnerability, bounty_minor, principal.subject)
        _complete_decision(session, vulnerability, AuditAction.VULNERABILITY_CONFIRMED)
    outbox.relay(vulnerability.protocol_id)
    return vulnerability


def reject(vulnerability_id: str, reason: str, principal: Principal) -> Vulnerability:
    """PENDING → REJECTED; its reservation is released. Raises NotFound, Conflict (INVALID_TRANSITION)."""
    get(vulnerability_id, principal)
    with transaction() as session:
        claim_key(session)
        decision = {"decided_by": principal.subject, "rejection_reason": reason}
        vulnerability = transition(session, vulnerability_id, Status.REJECTED, **decision)
        change_reservation(session, vulnerability, -vulnerability.reserved_minor, principal.subject)
        _complete_decision(session, vulnerability, AuditAction.VULNERABILITY_REJECTED, rejectionReason=reason)
    outbox.relay(vulnerability.protocol_id)
    return vulnerability


def _complete_decision(session: Session, vulnerability: Vulnerability, action: AuditAction, **event_data: str) -> None:
    append_status_event(session, vulnerability, **event_data)
    after = {
        "status": vulnerability.status,
        "reserved": format_amount(vulnerability.reserved_minor),
        "rejectionReason": vulnerability.rejection_reason,
        "version": vulnerability.version,
    }
    before = {"status": PREVIOUS[Status(vulnerability.status)].value, "version": vulnerability.version - 1}
    record_audit(session, action, vulnerability.id, protocol_id=vulnerability.protocol_id, before=before, after=after)
    store_response(session, vulnerability)


def transition(session: Session, vulnerability_id: str, new: Status, **values: Any) -> Vulnerability:
    """Change the status to `new` if the current one precedes it. Raises Conflict (INVALID_TRANSITION)."""
    vulnerability = update_if(session, vulnerability_id, PREVIOUS[new], status=new.value, **values)
    if vulnerability is None:
        raise invalid_transition(session.get_one(Vulnerability, vulnerability_id, populate_existing=True), new)
    return vulnerability


def update_if(
    session: Session, vulnerability_id: str, current: Status, *conditions: ColumnElement[bool], **values: Any
) -> Vulnerability | None:
    """The vulnerability after the change; None if its status is not `current` or it does not meet the conditions."""
    statement = (
        update(Vulnerability)
        .where(Vulnerability.id == vulnerability_id, Vulnerability.status == current.value, *conditions)
        .values(version=Vulnerability.version + 1, updated_at=utc_now(), **values)
        .returning(Vulnerability)
    )
    return update_one(session, statement)


def invalid_transition(vulnerability: Vulnerability, new: Status) -> DomainError:
    message = f"The vulnerability is {vulnerability.status}; only {PREVIOUS[new]} ones become {new}."
    return InvalidTransition(message, extra={"currentStatus": vulnerability.status})


def append_status_event(session: Session, vulnerability: Vulnerability, **event_data: Any) -> None:
    """Append the event of the latest status change to the outbox (spec: Vulnerability Status Change Events)."""
    data = {
        "vulnerabilityId": vulnerability.id,
        "oldStatus": PREVIOUS[Status(vulnerability.status)].value,
        "newStatus": vulnerability.status,
        "severity": vulnerability.severity,
        "version": vulnerability.version,
        "changedAt": vulnerability.updated_at,
        **event_data,
    }
    outbox.append(session, vulnerability.protocol_id, EventType.VULN_STATUS_CHANGED, data)


def change_reservation(
    session: Session, vulnerability: Vulnerability, change_minor: int, actor: str, payment_id: str | None = None
) -> None:
    """Reserve more of the pool for this vulnerability, or release a part (less than 0); 0 changes nothing.

    Raises Conflict (INSUFFICIENT_FUNDS).
    """
    if change_minor:
        change_type = ChangeType.RESERVATION if change_minor > 0 else ChangeType.RESERVATION_RELEASED
        about = {"vulnerability_id": vulnerability.id, "payment_id": payment_id}
        protocols.apply_change(session, vulnerability.protocol_id, change_type, abs(change_minor), actor, **about)
        vulnerability.reserved_minor += change_minor
        vulnerability.bounty_minor = vulnerability.bounty_minor or change_minor


def counts(protocol_ids: list[str] | None) -> dict[str, Any]:
    """Numbers by status and by severity, including zeros; `None` counts all protocols."""
    kinds = (Vulnerability.status, Vulnerability.severity)
    is_counted = true() if protocol_ids is None else Vulnerability.protocol_id.in_(protocol_ids)
    by_status = dict.fromkeys(map(str, Status), 0)
    by_severity = dict.fromkeys(map(str, Severity), 0)
    for status, severity, count in db.session.execute(select(*kinds, func.count()).where(is_counted).group_by(*kinds)):
        by_status[status] += count
        by_severity[severity] += count
    return {"total": sum(by_status.values()), "by_severity": by_severity, "by_status": by_status}


def snapshot_section(protocol_id: str) -> dict[str, Any]:
    """The newest open vulnerabilities that fit a snapshot, whether there are more, and all counts."""
    is_open = Vulnerability.status.in_([Status.PENDING.value, Status.CONFIRMED.value])
    query = select(*_COLUMNS).where(Vulnerability.protocol_id == protocol_id, is_open)
    newest = query.order_by(Vulnerability.id.desc()).limit(MAX_OPEN_SHOWN + 1).execution_options(yield_per=200)
    shown: list[dict[str, Any]] = []
    characters, is_truncated = 0, False
    with db.session.execute(newest) as rows:
        for row in rows:
            characters += len(row.description or "")
            is_truncated = len(shown) == MAX_OPEN_SHOWN or characters > MAX_OPEN_CHARACTERS
            if is_truncated:
                break
            shown.append(_dump(row))
    numbers = VulnerabilityCounts().dump(counts([protocol_id]))
    return {"vulnerabilities": {"open": shown, "openTruncated": is_truncated, "counts": numbers}}


def _dump(row: Any) -> dict[str, Any]:
    """The same as VulnerabilitySchema's dump, in a tenth of the time."""
    return {
        "id": row.id,
        "protocolId": row.protocol_id,
        "title": row.title,
        "description": row.description,
        "severity": row.severity,
        "status": row.status,
        "bounty": None if row.bounty_minor is None else format_amount(row.bounty_minor),
        "agentId": row.agent_id,
        "rejectionReason": row.rejection_reason,
        "paymentId": row.payment_id,
        "version": str(row.version),
        "createdAt": iso_timestamp(row.created_at),
        "updatedAt": iso_timestamp(row.updated_at),
    }
