from typing import Any

from app.auth.authorization import current_principal, requires
from app.auth.permissions import Action
from app.core.errors import AlreadyExists, AmountTooLarge
from app.core.pagination import Page, PageQuery
from app.http.csv_export import paged
from app.http.idempotency import idempotent
from app.http.rest import Blueprint, raises
from app.protocols import schemas, service
from app.protocols.models import Pool, Protocol

blueprint = Blueprint("protocols", __name__, url_prefix="/api/v1/protocols", description="Protocols")
pools = Blueprint("bounties", __name__, url_prefix="/api/v1/protocols/<string:protocol_id>", description="Bounty pools")


@blueprint.post("")
@requires(Action.CREATE_PROTOCOL)
@raises(AlreadyExists)
@blueprint.arguments(schemas.ProtocolCreate)
@blueprint.response(201, schemas.ProtocolSchema)
def create_protocol(fields: dict[str, Any]) -> Protocol:
    """Create a protocol

    The protocol gets an empty bounty pool and a room.
    """
    return service.create(fields)


@blueprint.get("")
@requires(Action.READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, schemas.ProtocolPage)
def list_protocols(query: dict[str, Any]) -> Page:
    """List the protocols that the token grants

    Ordered by id.
    """
    return service.list_for(current_principal(), **query)


@blueprint.get("/<string:protocol_id>")
@requires(Action.READ)
@blueprint.response(200, schemas.ProtocolSchema)
def get_protocol(protocol_id: str) -> Protocol:
    """Read a protocol

    A protocol that the token does not grant is answered as one that does not exist.
    """
    return service.get(protocol_id)


@pools.get("/pool")
@requires(Action.READ)
@pools.response(200, schemas.PoolSchema)
def get_pool(protocol_id: str) -> Pool:
    """Read the bounty pool

    `available` is `total - reserved - paid`, and never negative.
    """
    return service.get_pool(protocol_id)


@pools.get("/pool/entries")
@requires(Action.READ)
@pools.arguments(schemas.LedgerQuery, location="query")
@paged(pools, schemas.LedgerEntryPage, "pool-entries")
def list_entries(query: dict[str, Any], protocol_id: str) -> Page:
    """List the pool's ledger, newest first

    Each entry carries the pool's totals after it; entries are never changed. With `Accept: text/csv` the whole
    selection as CSV.
    """
    return service.list_entries(protocol_id, **query)


@pools.post("/deposits")
@requires(Action.DEPOSIT)
@raises(AmountTooLarge)
@pools.arguments(schemas.DepositCreate)
@idempotent(pools, 201, schemas.DepositSchema)
def create_deposit(fields: dict[str, Any], protocol_id: str) -> dict[str, Any]:
    """Deposit funds

    The room receives `bounty_pool:updated` with DEPOSIT.
    """
    return service.deposit(protocol_id, fields["amount"], fields["reference"], current_principal().subject)
