from typing import Any

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from app.auth.authorization import current_principal, requires
from app.auth.permissions import Action
from app.core.database import consistent_read
from app.core.errors import ProtocolNotFound
from app.http.rest import Blueprint, raises
from app.snapshot import service
from app.snapshot.schemas import StateQuery, StateSchema, StatsQuery, StatsSchema

blueprint = Blueprint("snapshot", __name__, url_prefix="/api/v1", description="Snapshots and totals")


@blueprint.get("/protocols/<string:protocol_id>/state")
@requires(Action.READ)
@blueprint.arguments(StateQuery, location="query")
@blueprint.response(200, StateSchema)
@blueprint.alt_response(304, description="Unchanged since the state with the `ETag` in `If-None-Match`.")
def get_state(query: dict[str, Any], protocol_id: str) -> BaseResponse:
    """Read a snapshot of the protocol

    Join the room first, then fetch this, then apply newer events: those with a higher `seq` and, for each object,
    a higher `version`. So no change is missed or applied twice.
    """
    content, tag = service.render(protocol_id, batches=query["agent_batches"])
    response = content.response("application/json")
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(tag, weak=True)
    return response.make_conditional(request)


@blueprint.get("/stats")
@requires(Action.READ)
@raises(ProtocolNotFound)
@blueprint.arguments(StatsQuery, location="query")
@blueprint.response(200, StatsSchema)
def get_stats(query: dict[str, Any]) -> dict[str, Any]:
    """Read totals of one protocol, or of all that the token grants

    Amounts of different currencies are never added up: `byCurrency` has one item for each.
    """
    with consistent_read():
        return service.totals(query["protocol_id"], current_principal())
