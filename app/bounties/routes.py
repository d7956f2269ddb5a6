from typing import Any

from app.auth.authorization import principal, requires
from app.auth.permissions import Action
from app.bounties import service
from app.bounties.models import Pool
from app.bounties.schemas import DepositCreate, DepositSchema, LedgerEntryPage, PoolSchema
from app.core.errors import AmountTooLarge
from app.core.pagination import Page, PageQuery
from app.http.idempotency import idempotent
from app.http.rest import Blueprint, raises

blueprint = Blueprint(
    "bounties", __name__, url_prefix="/api/v1/protocols/<string:protocol_id>", description="Bounty pools"
)


@blueprint.get("/pool")
@requires(Action.READ)
@blueprint.response(200, PoolSchema)
def get_pool(protocol_id: str) -> Pool:
    """Read the bounty pool

    `available` is `total - reserved - paid`, and never negative.
    """
    return service.get_pool(protocol_id)


@blueprint.get("/pool/entries")
@requires(Action.READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, LedgerEntryPage)
def list_entries(query: dict[str, Any], protocol_id: str) -> Page:
    """List the pool's ledger, newest first

    Each entry has the pool's totals after it; entries are never changed.
    """
    return service.list_entries(protocol_id, **query)


@blueprint.post("/deposits")
@requires(Action.DEPOSIT)
@raises(AmountTooLarge)
@blueprint.arguments(DepositCreate)
@idempotent(blueprint, 201, DepositSchema)
def create_deposit(fields: dict[str, Any], protocol_id: str) -> dict[str, Any]:
    """Deposit funds

    The room hears `bounty_pool:updated` with DEPOSIT.
    """
    return service.deposit(protocol_id, fields["amount"], fields["reference"], principal().subject)
