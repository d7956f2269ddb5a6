from typing import Any

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from app.auth.authorization import principal, requires
from app.auth.permissions import Action
from app.core.pagination import Page, PageQuery
from app.http.rest import Blueprint
from app.protocols import service
from app.protocols.models import Protocol
from app.protocols.schemas import ProtocolCreate, ProtocolPage, ProtocolSchema, StateQuery, StateSchema
from app.snapshot import service

blueprint = Blueprint("protocols", __name__, url_prefix="/api/v1/protocols", description="Protocols and their state")


@blueprint.post("")
@requires(Action.CREATE_PROTOCOL)
@blueprint.arguments(ProtocolCreate)
@blueprint.response(201, ProtocolSchema)
def create_protocol(fields: dict[str, Any]) -> Protocol:
    """Create a protocol"""
    return service.create(fields)


@blueprint.get("")
@requires(Action.READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, ProtocolPage)
def list_protocols(query: dict[str, Any]) -> Page:
    """List the protocols the token names"""
    return service.list_for(principal(), **query)


@blueprint.get("/<string:protocol_id>")
@requires(Action.READ)
@blueprint.response(200, ProtocolSchema)
def get_protocol(protocol_id: str) -> Protocol:
    """Read a protocol"""
    return service.get(protocol_id)


@blueprint.get("/<string:protocol_id>/state")
@requires(Action.READ)
@blueprint.arguments(StateQuery, location="query")
@blueprint.response(200, StateSchema)
def get_state(query: dict[str, Any], protocol_id: str) -> BaseResponse:
    """Read the protocol's present state, to start from or to come back to"""
    content, tag = service.rendered(protocol_id, batches=query["agent_batches"])
    response = content.response("application/json")
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(tag, weak=True)
    return response.make_conditional(request)
