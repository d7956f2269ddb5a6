from typing import Any

from app.auth.authorization import current_principal, requires
from app.auth.permissions import Action
from app.core.errors import AlreadyExists, InsufficientFunds, InvalidTransition, PaymentUncertain
from app.core.pagination import Page
from app.http.csv_export import paged
from app.http.idempotency import idempotent
from app.http.rest import Blueprint, raises
from app.payments import service
from app.payments.models import Payment
from app.payments.schemas import (
    PaymentCancel,
    PaymentCreate,
    PaymentPage,
    PaymentQuery,
    PaymentRetry,
    PaymentSchema,
)

blueprint = Blueprint("payments", __name__, url_prefix="/api/v1", description="Payments")


@blueprint.post("/vulnerabilities/<string:vulnerability_id>/payment")
@requires(Action.RELEASE_PAYMENT)
@raises(InvalidTransition, AlreadyExists, InsufficientFunds)
@blueprint.arguments(PaymentCreate)
@idempotent(blueprint, 202, PaymentSchema)
def request_payment(fields: dict[str, Any], vulnerability_id: str) -> Payment:
    """Release the payment of a confirmed vulnerability

    Accepted, then paid in the background: the room receives `payment:status_changed` with PENDING now, and later
    `bounty_pool:updated` with PAYMENT_RELEASED, `payment:status_changed` with RELEASED and `vuln:status_changed` with
    PAID; or `payment:status_changed` with FAILED. Without `amount` the whole reserved bounty is paid; a smaller amount
    returns the rest to the pool. The pool is charged exactly once.
    """
    return service.request_payment(vulnerability_id, fields["recipient"], fields["amount"], current_principal())


@blueprint.get("/payments/<string:payment_id>")
@requires(Action.READ)
@blueprint.response(200, PaymentSchema)
def get_payment(payment_id: str) -> Payment:
    """Read a payment

    A FAILED payment has a `failureReason` and keeps its reservation until it is retried and paid, or cancelled.
    """
    return service.get(payment_id, current_principal())


@blueprint.get("/protocols/<string:protocol_id>/payments")
@requires(Action.READ)
@blueprint.arguments(PaymentQuery, location="query")
@paged(blueprint, PaymentPage, "payments")
def list_payments(query: dict[str, Any], protocol_id: str) -> Page:
    """List payments

    Newest first; `from` and `to` compare `createdAt`. With `Accept: text/csv` the whole selection as CSV.
    """
    return service.list_payments(protocol_id, **query)


@blueprint.post("/payments/<string:payment_id>/retry")
@requires(Action.RELEASE_PAYMENT)
@raises(InvalidTransition, PaymentUncertain)
@blueprint.arguments(PaymentRetry, required=False)
@idempotent(blueprint, 202, PaymentSchema)
def retry_payment(fields: dict[str, Any], payment_id: str) -> Payment:
    """Retry a failed payment

    A FAILED payment returns to PENDING, to another recipient if one is given; the room receives
    `payment:status_changed`. If the outcome of an attempt is unknown (`mayBePaid`), the recipient cannot be changed.
    """
    return service.retry(payment_id, fields["recipient"], current_principal())


@blueprint.post("/payments/<string:payment_id>/cancel")
@requires(Action.RELEASE_PAYMENT)
@raises(InvalidTransition, PaymentUncertain)
@blueprint.arguments(PaymentCancel, required=False)
@idempotent(blueprint, 200, PaymentSchema)
def cancel_payment(fields: dict[str, Any], payment_id: str) -> Payment:
    """Cancel a failed payment

    A FAILED payment becomes CANCELLED and its reservation is released: the room receives `bounty_pool:updated` with
    RESERVATION_RELEASED, then `payment:status_changed`. The vulnerability stays CONFIRMED without a `paymentId`, and
    may be paid anew with an `amount`. Refused if the outcome of an attempt is unknown (`mayBePaid`).
    """
    del fields  # always empty
    return service.cancel(payment_id, current_principal())
