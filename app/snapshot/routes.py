from typing import Any

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from app.auth.authorization import principal, requires
from app.auth.permissions import Action
from app.core.database import consistent_read
from app.core.errors import ProtocolNotFound
from app.http.rest import Blueprint, raises
from app.snapshot import service, stats
from app.snapshot.schemas import StateQuery, StateSchema, StatsQuery, StatsSchema

blueprint = Blueprint("snapshot", __name__, url_prefix="/api/v1", description="Whole states and totals")


@blueprint.get("/protocols/<string:protocol_id>/state")
@requires(Action.READ)
@blueprint.arguments(StateQuery, location="query")
@blueprint.response(200, StateSchema)
@blueprint.alt_response(304, description="Unchanged since the state with the `ETag` in `If-None-Match`.")
def get_state(query: dict[str, Any], protocol_id: str) -> BaseResponse:
    """Read the protocol's present state, to start from or to come back to

    Join the room first, then fetch this, then apply the events that are newer: a `seq` above this one's, and
    of each thing a `version` above the one held. So nothing is missed and nothing applied twice.
    """
    content, tag = service.rendered(protocol_id, batches=query["agent_batches"])
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
    """Read totals of one protocol, or of all that the token names

    Without `protocolId`: over all protocols that the token names; amounts of different currencies are never
    added up, `byCurrency` has one line for each.
    """
    with consistent_read():
        return stats.totals(query["protocol_id"], principal())
