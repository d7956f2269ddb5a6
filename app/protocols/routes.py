from typing import Any

from app.auth.authorization import principal, requires
from app.auth.permissions import Action
from app.core.errors import AlreadyExists
from app.core.pagination import Page, PageQuery
from app.http.rest import Blueprint, raises
from app.protocols import service
from app.protocols.models import Protocol
from app.protocols.schemas import ProtocolCreate, ProtocolPage, ProtocolSchema

blueprint = Blueprint("protocols", __name__, url_prefix="/api/v1/protocols", description="Protocols")


@blueprint.post("")
@requires(Action.CREATE_PROTOCOL)
@raises(AlreadyExists)
@blueprint.arguments(ProtocolCreate)
@blueprint.response(201, ProtocolSchema)
def create_protocol(fields: dict[str, Any]) -> Protocol:
    """Create a protocol

    The protocol gets an empty bounty pool and a room.
    """
    return service.create(fields)


@blueprint.get("")
@requires(Action.READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, ProtocolPage)
def list_protocols(query: dict[str, Any]) -> Page:
    """List the protocols the token names

    By id; those that the token names.
    """
    return service.list_for(principal(), **query)


@blueprint.get("/<string:protocol_id>")
@requires(Action.READ)
@blueprint.response(200, ProtocolSchema)
def get_protocol(protocol_id: str) -> Protocol:
    """Read a protocol

    A protocol that the token does not name is told of as one that does not exist.
    """
    return service.get(protocol_id)
