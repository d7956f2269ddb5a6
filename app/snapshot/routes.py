from typing import Any

from flask import Response, request

from app.auth.authorization import current_principal, requires
from app.auth.permissions import Action
from app.core.database import consistent_read
from app.core.errors import ProtocolNotFound
from app.core.pagination import Page, PageQuery
from app.http.responses import CompressibleBody
from app.http.rest import Blueprint, raises
from app.snapshot import history, overview, service
from app.snapshot.schemas import HistoryPage, OverviewPage, StateQuery, StateSchema, StatsQuery, StatsSchema

blueprint = Blueprint("snapshot", __name__, url_prefix="/api/v1", description="Snapshots and totals")


@blueprint.get("/protocols/<string:protocol_id>/state")
@requires(Action.READ)
@blueprint.arguments(StateQuery, location="query")
@blueprint.response(200, StateSchema)
@blueprint.alt_response(304, description="Unchanged since the state with the `ETag` in `If-None-Match`.")
def get_state(query: dict[str, Any], protocol_id: str) -> Response:
    """Read a snapshot of the protocol

    Join the room first, then fetch this, then apply newer events: those with a higher `seq` and, for each object,
    a higher `version`. So no change is missed or applied twice.
    """
    batches = query["agent_batches"]
    tag = service.known_tag(protocol_id, batches=batches) if request.if_none_match else None
    if tag is not None and request.if_none_match.contains_weak(tag):
        return _conditional(None, tag)
    return _conditional(*service.render(protocol_id, batches=batches))


@blueprint.get("/overview")
@requires(Action.READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, OverviewPage)
@blueprint.alt_response(304, description="Unchanged since the page with the `ETag` in `If-None-Match`.")
def get_overview(query: dict[str, Any]) -> Response:
    """Read the protocols that the token grants at a glance

    Those that need attention come first: by the number of failed payments, then of open critical vulnerabilities, then
    of pending ones, then of confirmed ones that are not paid; then by id. While these numbers change, a protocol may
    move from one page to another.
    """
    return _conditional(*overview.render(current_principal(), **query))


@blueprint.get("/vulnerabilities/<string:vulnerability_id>/history")
@requires(Action.READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, HistoryPage)
def get_history(query: dict[str, Any], vulnerability_id: str) -> Page:
    """Read the history of a vulnerability, oldest first

    Its filing and decision, and each change of its payments: who did it and when.
    """
    return history.read(vulnerability_id, current_principal(), **query)


def _conditional(content: CompressibleBody | None, tag: str) -> Response:
    """The content, or 304 without it if the client has it already."""
    if content is None or request.if_none_match.contains_weak(tag):
        response = Response(status=304)
    else:
        response = content.response("application/json")
    response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(tag, weak=True)
    return response


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
