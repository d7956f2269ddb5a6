"""Vulnerabilities are filed, then confirmed or rejected: each change is one conditional UPDATE with its event."""

from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from app.audit.service import AuditAction, record_audit
from app.auth.authorization import check_acts_for_itself
from app.auth.permissions import Role
from app.auth.tokens import Principal
from app.core.database import transaction, update_one, utc_now
from app.core.errors import AlreadyReserved, DomainError, InvalidTransition, VulnerabilityNotFound
from app.core.extensions import db
from app.core.schemas import is_identifier
from app.core.values import format_amount
from app.http.idempotency import claim_key, store_response
from app.protocols import service as protocols
from app.protocols.rules import ChangeType
from app.realtime import outbox
from app.realtime.events import EventType
from app.vulnerabilities.models import PREVIOUS, Severity, Status, Vulnerability
from app.vulnerabilities.schemas import VulnDiscoveredData, VulnerabilitySchema

_AUDITED = VulnerabilitySchema(only=("title", "severity", "status", "bounty", "reserved", "agent_id", "version"))
_DISCOVERED = VulnDiscoveredData()


def get(vulnerability_id: str, principal: Principal) -> Vulnerability:
    """Raises NotFound, also for a vulnerability of a protocol that the token does not grant."""
    known = is_identifier(vulnerability_id)
    vulnerability = db.session.get(Vulnerability, vulnerability_id, populate_existing=True) if known else None
    if vulnerability is None or not principal.grants(vulnerability.protocol_id):
        raise VulnerabilityNotFound(f"There is no vulnerability {vulnerability_id!r}.")
    return vulnerability


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
        outbox.append(session, protocol_id, EventType.VULN_DISCOVERED, _DISCOVERED.dump(vulnerability))
        change_reservation(session, vulnerability, fields["bounty"] or 0, principal.subject)
        after = _AUDITED.dump(vulnerability)
        record_audit(session, AuditAction.VULNERABILITY_FILED, vulnerability.id, protocol_id=protocol_id, after=after)
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
