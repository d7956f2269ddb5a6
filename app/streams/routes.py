"""The room without a Socket.IO client: a stream of Server-Sent Events, and tickets to open one."""

from typing import Any, cast

from flask import Response, current_app, g, request

from app.auth.authorization import current_principal, requires
from app.auth.permissions import Action
from app.core.errors import NotAcceptable, NotSupported, ProtocolNotFound
from app.http.middleware import SERVER_MARK
from app.http.responses import MAX_ACCEPT
from app.http.rest import Blueprint, raises
from app.protocols.service import check_exists
from app.realtime.redis_keys import batched_view
from app.snapshot.schemas import StateQuery
from app.streams import tickets
from app.streams.schemas import StreamTicketSchema

EVENT_STREAM = "text/event-stream"
STREAM_HEADERS = {"X-Accel-Buffering": "no"}  # for nginx

blueprint = Blueprint("streams", __name__, url_prefix="/api/v1/protocols/<string:protocol_id>", description="Streams")


@blueprint.get("/events")
@requires(Action.SUBSCRIBE, authenticated_by=tickets.authenticate_stream)
@raises(ProtocolNotFound, NotAcceptable, NotSupported)
@blueprint.arguments(StateQuery, location="query")
@blueprint.response(200, description="The stream; it ends when the client closes it, or with its token.")
def read_events(query: dict[str, Any], protocol_id: str) -> Response:
    """Read the room's events as a stream (Server-Sent Events)

    The first event is `state`, with the same JSON as `GET …/state` and its `seq` as `id`. Then comes each event of the
    room, with its type as `event`, its `seq` as `id`, and as `data` the same JSON object as over Socket.IO. Whenever
    the server has missed events itself, `state` comes again. So a client replaces what it holds on `state` and applies
    all else. A comment comes at least every 15 seconds. When the token expires, `session:expired` is the last event.
    `Last-Event-ID` is ignored: a new connection begins with `state`. Browsers' EventSource cannot send headers: get a
    ticket and send it as `?ticket=`; a token in the URL is refused.
    """
    check_exists(protocol_id)
    if not is_stream_accepted():
        raise NotAcceptable
    if "streams" not in current_app.extensions or SERVER_MARK not in request.environ:
        raise NotSupported("This server serves REST alone: streams need the server of `dashboard web`.")
    if request.method == "HEAD":
        return _head()
    view = batched_view(protocol_id) if query["agent_batches"] else protocol_id
    streams: Any = current_app.extensions["streams"]
    return cast(Response, streams.open(current_principal(), request.remote_addr or "", protocol_id, view))


@blueprint.post("/stream-tickets")
@requires(Action.SUBSCRIBE)
@raises(ProtocolNotFound)
@blueprint.response(201, StreamTicketSchema)
def create_stream_ticket(protocol_id: str) -> dict[str, Any]:
    """Get a ticket to open the protocol's stream

    For clients that cannot send headers. It is good once and for 30 seconds, at any web process. The stream ends when
    the token with which the ticket was made expires or is revoked.
    """
    check_exists(protocol_id)
    return tickets.issue(current_principal(), protocol_id)


@blueprint.teardown_request
def end_unopened_stream(_error: BaseException | None) -> None:
    """End a stream whose response was not sent."""
    stream = g.pop("stream", None)
    if stream is not None and not stream.socket.is_open:
        stream.socket.end("not opened")


def _head() -> Response:
    response = Response(content_type=EVENT_STREAM, headers=STREAM_HEADERS)
    response.automatically_set_content_length = False
    return response


def is_stream_accepted() -> bool:
    """Whether the caller accepts a stream; without an Accept header it accepts anything."""
    accept = request.headers.get("Accept", "")
    return not accept or (len(accept) <= MAX_ACCEPT and request.accept_mimetypes.quality(EVENT_STREAM) > 0)
