from typing import Any

from app.audit import service
from app.audit.schemas import AuditPage, AuditQuery
from app.auth.authorization import requires
from app.auth.permissions import Action
from app.core.pagination import Page
from app.http.rest import Blueprint

blueprint = Blueprint("audit", __name__, url_prefix="/api/v1", description="Audit log")


@blueprint.get("/audit")
@requires(Action.READ_AUDIT)
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, AuditPage)
def list_audit(query: dict[str, Any]) -> Page:
    """List the audit log, newest first

    Actions on money, vulnerabilities and tokens, with their callers; entries are never changed.
    """
    return service.list_all(**query)
