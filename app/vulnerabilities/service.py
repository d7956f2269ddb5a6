"""Vulnerabilities are filed, then confirmed or rejected: each change is one conditional UPDATE with its event."""

from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.audit.service import AuditAction, record_audit
from app.auth.authorization import check_acts_for_itself
from app.auth.permissions import Role
from app.auth.tokens import Principal
from app.core.database import transaction, update_one, utc_now
from app.core.errors import AlreadyReserved, InvalidTransition, VulnerabilityNotFound
from app.core.extensions import db
from app.core.money import format_amount
from app.core.schemas import is_identifier
from app.http.idempotency import claim_key, store_response
from app.protocols import service as bounties
from app.protocols.rules import Change, ChangeType
from app.protocols.service import get as get_protocol
from app.realtime import outbox
from app.realtime.events import EventType
from app.vulnerabilities.models import Vulnerability
from app.vulnerabilities.rules import PREVIOUS, Severity, Status


def get(vulnerability_id: str, principal: Principal) -> Vulnerability:
    """Raises NotFound, also for a vulnerability of a protocol that the token does not grant."""
    known = is_identifier(vulnerability_id)
    vulnerability = db.session.get(Vulnerability, vulnerability_id, populate_existing=True) if known else None
    if vulnerability is None or not principal.sees(vulnerability.protocol_id):
        raise VulnerabilityNotFound(f"There is no vulnerability {vulnerability_id!r}.")
    return vulnerability


def file(protocol_id: str, fields: dict[str, Any], principal: Principal) -> Vulnerability:
    """Store a new vulnerability. If its bounty cannot be reserved, nothing is stored.

    Raises NotFound, Forbidden (an agent files only for itself), Conflict (INSUFFICIENT_FUNDS).
    """
    agent_id = fields["agent_id"] or (principal.subject if principal.role is Role.AGENT else None)
    check_acts_for_itself(principal, agent_id)
    get_protocol(protocol_id)
    vulnerability = _new(protocol_id, fields, agent_id, principal.subject)
    with transaction() as session:
        claim_key(session)
        session.add(vulnerability)
        session.flush()
        if fields["bounty"] is not None:
            reserve(session, vulnerability, fields["bounty"], principal.subject)
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
            _check_unreserved(vulnerability)
            reserve(session, vulnerability, bounty_minor, principal.subject)
        append_status_event(session, vulnerability)
        _record_audit(session, AuditAction.VULNERABILITY_CONFIRMED, vulnerability)
        store_response(session, vulnerability)
    outbox.relay(vulnerability.protocol_id)
    return vulnerability


def reject(vulnerability_id: str, reason: str, principal: Principal) -> Vulnerability:
    """PENDING → REJECTED; its reservation is released. Raises NotFound, Conflict (INVALID_TRANSITION)."""
    get(vulnerability_id, principal)
    with transaction() as session:
        claim_key(session)
        decision = {"decided_by": principal.subject, "rejection_reason": reason}
        vulnerability = transition(session, vulnerability_id, Status.REJECTED, **decision)
        release_reservation(session, vulnerability, vulnerability.reserved_minor, principal.subject)
        append_status_event(session, vulnerability, rejectionReason=reason)
        _record_audit(session, AuditAction.VULNERABILITY_REJECTED, vulnerability)
        store_response(session, vulnerability)
    outbox.relay(vulnerability.protocol_id)
    return vulnerability


def _record_audit(session: Session, action: AuditAction, vulnerability: Vulnerability) -> None:
    after = {
        "status": vulnerability.status,
        "reserved": format_amount(vulnerability.reserved_minor),
        "rejectionReason": vulnerability.rejection_reason,
        "version": vulnerability.version,
    }
    before = {"status": PREVIOUS[Status(vulnerability.status)].value, "version": vulnerability.version - 1}
    place = vulnerability.protocol_id
    record_audit(session, action, vulnerability.id, protocol_id=place, before=before, after=after)


def transition(session: Session, vulnerability_id: str, new: Status, **values: Any) -> Vulnerability:
    """Change the status to `new` if the present one precedes it. Raises Conflict (INVALID_TRANSITION)."""
    statement = (
        update(Vulnerability)
        .where(Vulnerability.id == vulnerability_id, Vulnerability.status == PREVIOUS[new].value)
        .values(status=new.value, version=Vulnerability.version + 1, updated_at=utc_now(), **values)
        .returning(Vulnerability)
    )
    vulnerability = update_one(session, statement)
    if vulnerability is None:
        raise invalid_transition(session.get_one(Vulnerability, vulnerability_id, populate_existing=True), new)
    return vulnerability


def invalid_transition(vulnerability: Vulnerability, new: Status) -> InvalidTransition:
    return InvalidTransition(
        f"The vulnerability is {vulnerability.status}; only {PREVIOUS[new]} ones become {new}.",
        extra={"currentStatus": vulnerability.status},
    )


def append_status_event(session: Session, vulnerability: Vulnerability, **more: Any) -> None:
    """Append the event of the latest status change to the outbox (spec: Vulnerability Status Change Events)."""
    data = {
        "vulnerabilityId": vulnerability.id,
        "oldStatus": PREVIOUS[Status(vulnerability.status)].value,
        "newStatus": vulnerability.status,
        "severity": vulnerability.severity,
        "version": vulnerability.version,
        "changedAt": vulnerability.updated_at,
        **more,
    }
    outbox.append(session, vulnerability.protocol_id, EventType.VULN_STATUS_CHANGED, data)


def reserve(
    session: Session, vulnerability: Vulnerability, amount_minor: int, actor: str, payment_id: str | None = None
) -> None:
    """Reserve an amount of the pool for this vulnerability. Raises Conflict (INSUFFICIENT_FUNDS)."""
    about = {"vulnerability_id": vulnerability.id, "payment_id": payment_id}
    change = Change(ChangeType.RESERVATION, amount_minor, actor, **about)
    bounties.apply_change(session, vulnerability.protocol_id, change)
    vulnerability.reserved_minor = amount_minor
    vulnerability.bounty_minor = vulnerability.bounty_minor or amount_minor


def release_reservation(
    session: Session, vulnerability: Vulnerability, amount_minor: int, actor: str, payment_id: str | None = None
) -> None:
    """Return a reserved amount to the pool's available funds; 0 changes nothing."""
    if amount_minor > 0:
        about = {"vulnerability_id": vulnerability.id, "payment_id": payment_id}
        change = Change(ChangeType.RESERVATION_RELEASED, amount_minor, actor, **about)
        bounties.apply_change(session, vulnerability.protocol_id, change)
        vulnerability.reserved_minor -= amount_minor


def _check_unreserved(vulnerability: Vulnerability) -> None:
    if vulnerability.reserved_minor:
        raise AlreadyReserved


def _new(protocol_id: str, fields: dict[str, Any], agent_id: str | None, filed_by: str) -> Vulnerability:
    now = utc_now()
    return Vulnerability(
        id=str(uuid.uuid7()),
        protocol_id=protocol_id,
        title=fields["title"],
        description=fields["description"],
        severity=fields["severity"],
        severity_rank=Severity(fields["severity"]).rank,
        status=Status.PENDING.value,
        bounty_minor=None,
        reserved_minor=0,
        agent_id=agent_id,
        filed_by=filed_by,
        decided_by=None,
        rejection_reason=None,
        payment_id=None,
        version=1,
        created_at=now,
        updated_at=now,
    )
