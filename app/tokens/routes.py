from typing import Any

from app.auth.authorization import principal, requires
from app.auth.permissions import Action
from app.auth.revocation import RevokedToken
from app.core.pagination import Page, PageQuery
from app.http.rest import Blueprint
from app.tokens import service
from app.tokens.schemas import Revocation, RevokedTokenPage, RevokedTokenSchema

blueprint = Blueprint("tokens", __name__, url_prefix="/api/v1/tokens", description="Revoked tokens")


@blueprint.post("/revoke")
@requires(Action.REVOKE_TOKEN)
@blueprint.arguments(Revocation)
@blueprint.response(201, RevokedTokenSchema)
def revoke_token(fields: dict[str, Any]) -> RevokedToken:
    """Revoke a token, or all tokens of a subject

    Name one token by its `jti`, or a `subject` to revoke all tokens issued to it until now.
    """
    return service.revoke(fields, principal())


@blueprint.get("/revoked")
@requires(Action.REVOKE_TOKEN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, RevokedTokenPage)
def list_revoked(query: dict[str, Any]) -> Page:
    """List the revoked tokens, newest first

    Each is one token by its `jti`, or all tokens of a subject until then.
    """
    return service.list_revoked(**query)
