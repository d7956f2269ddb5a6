from typing import Any

from app.auth.authorization import current_principal, requires
from app.auth.permissions import Action
from app.core.errors import AlreadyReserved, InsufficientFunds, InvalidTransition
from app.core.pagination import Page
from app.http.csv_export import paged
from app.http.idempotency import idempotent
from app.http.rest import Blueprint, raises
from app.vulnerabilities import queries, schemas, service
from app.vulnerabilities.models import Vulnerability

blueprint = Blueprint("vulnerabilities", __name__, url_prefix="/api/v1", description="Vulnerabilities and their status")


@blueprint.post("/protocols/<string:protocol_id>/vulnerabilities")
@requires(Action.FILE_VULNERABILITY)
@raises(InsufficientFunds)
@blueprint.arguments(schemas.VulnerabilityCreate)
@idempotent(blueprint, 201, schemas.VulnerabilitySchema)
def file_vulnerability(fields: dict[str, Any], protocol_id: str) -> Vulnerability:
    """File a vulnerability

    The room receives `vuln:discovered`. With a `bounty` the amount is reserved, and `bounty_pool:updated` with
    RESERVATION follows; when it cannot be reserved, nothing is stored.
    """
    return service.file(protocol_id, fields, current_principal())


@blueprint.get("/protocols/<string:protocol_id>/vulnerabilities")
@requires(Action.READ)
@blueprint.arguments(schemas.VulnerabilityQuery, location="query")
@paged(blueprint, schemas.VulnerabilityPage, "vulnerabilities")
def list_vulnerabilities(query: dict[str, Any], protocol_id: str) -> Page:
    """List vulnerabilities

    Filtered by status, severity, reservation and date of filing, ordered by date or severity. With `Accept: text/csv`
    the whole selection as CSV.
    """
    return queries.list_vulnerabilities(protocol_id, **query)


@blueprint.get("/vulnerabilities/<string:vulnerability_id>")
@requires(Action.READ)
@blueprint.response(200, schemas.VulnerabilitySchema)
def get_vulnerability(vulnerability_id: str) -> Vulnerability:
    """Read a vulnerability

    A vulnerability of a protocol that the token does not grant is answered as one that does not exist.
    """
    return service.get(vulnerability_id, current_principal())


@blueprint.post("/vulnerabilities/<string:vulnerability_id>/confirm")
@requires(Action.DECIDE_VULNERABILITY)
@raises(InvalidTransition, AlreadyReserved, InsufficientFunds)
@blueprint.arguments(schemas.Confirmation)
@idempotent(blueprint, 200, schemas.VulnerabilitySchema)
def confirm_vulnerability(fields: dict[str, Any], vulnerability_id: str) -> Vulnerability:
    """Confirm a vulnerability

    PENDING → CONFIRMED; the room receives `vuln:status_changed`. A `bounty` is reserved when none was reserved
    at filing.
    """
    return service.confirm(vulnerability_id, fields["bounty"], current_principal())


@blueprint.post("/vulnerabilities/<string:vulnerability_id>/reject")
@requires(Action.DECIDE_VULNERABILITY)
@raises(InvalidTransition)
@blueprint.arguments(schemas.Rejection)
@idempotent(blueprint, 200, schemas.VulnerabilitySchema)
def reject_vulnerability(fields: dict[str, Any], vulnerability_id: str) -> Vulnerability:
    """Reject a vulnerability

    PENDING → REJECTED; the room receives `vuln:status_changed`, and a reservation is released.
    """
    return service.reject(vulnerability_id, fields["reason"], current_principal())
