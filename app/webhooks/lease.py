"""Which deliveries are attempted next: leased by a worker, so that another repeats them only after its death.

A lease is a time by the database's clock until which a delivery belongs to one attempt. Each endpoint has a limited
number of attempts at a time, so that one that hangs leaves the worker to the others.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa

from app.config import Config
from app.core.database import transaction
from app.core.extensions import config, db
from app.core.sql_types import database_now
from app.webhooks import encryption, service
from app.webhooks.encryption import SecretUnreadable
from app.webhooks.models import IS_PENDING, Webhook, WebhookDelivery
from app.webhooks.rules import DisableCause, WebhookStatus
from app.webhooks.schedule import ATTEMPT_SECONDS, MAX_RETRY_AFTER

LEASE_SECONDS = ATTEMPT_SECONDS + 5.0
MAX_RUNNING = 100
MAX_PER_ENDPOINT = 8
FIRST_PER_ENDPOINT = 1

_deliveries = cast(sa.Table, WebhookDelivery.__table__)
_columns = _deliveries.c
_now = sa.select(database_now()).scalar_subquery()  # read once: PostgreSQL uses no index for a clock read in each row
_is_due = sa.and_(
    IS_PENDING,
    _columns.next_attempt_at <= _now,
    sa.or_(_columns.lease_until.is_(None), _columns.lease_until <= _now),  # a redelivery during an attempt
)
_has_due = sa.exists().where(_columns.webhook_id == Webhook.id, _is_due)
_is_allowed = sa.or_(
    Webhook.next_allowed_at.is_(None),
    Webhook.next_allowed_at <= database_now(),
    Webhook.next_allowed_at > database_now(MAX_RETRY_AFTER),  # the database's clock has stepped back since
)
_ENDPOINTS = sa.select(
    Webhook.id,
    Webhook.url,
    Webhook.secret,
    Webhook.previous_secret,
    (Webhook.previous_secret_expires_at > database_now()).label("previous_is_valid"),
    Webhook.consecutive_failures,
).where(Webhook.status == WebhookStatus.ENABLED.value, _has_due, _is_allowed)
_DUE = (
    sa.select(_columns.id)
    .where(_columns.webhook_id == sa.bindparam("webhook"), _is_due)
    .order_by(_columns.next_attempt_at, _columns.id)
    .limit(sa.bindparam("count", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
_LEASE = (
    sa.update(_deliveries)
    .where(_columns.id.in_(sa.bindparam("ids", expanding=True)))
    .values(
        attempts=_columns.attempts + 1,
        next_attempt_at=database_now(LEASE_SECONDS),
        lease_until=database_now(LEASE_SECONDS),
    )
    .returning(
        _columns.id, _columns.webhook_id, _columns.event_type, _columns.body,
        _columns.attempts, _columns.failures, _columns.history,
    )
)  # fmt: skip


@dataclass(frozen=True)
class Leased:
    """A delivery as it was leased, with what its endpoint needs."""

    delivery: Any
    url: str
    secrets: list[str]


class Slots:
    """How many attempts may run at a time: in all, and to one endpoint.

    An endpoint starts with one. Each success earns it another, up to eight; a failure leaves it one. Failing endpoints
    get none while more than half of all are taken, so that an outage of many leaves room for the others.
    """

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._earned: dict[str, int] = {}

    def free(self) -> int:
        return MAX_RUNNING - self._running.total()

    def is_crowded(self) -> bool:
        return 2 * self.free() < MAX_RUNNING

    def free_for(self, webhook_id: str, *, is_failing: bool) -> int:
        allowed = 1 if is_failing else self._earned.get(webhook_id, FIRST_PER_ENDPOINT)
        return allowed - self._running[webhook_id]

    def busy(self) -> list[str]:
        """The endpoints with all of their attempts running."""
        allowed = self._earned
        return [each for each, count in self._running.items() if count >= allowed.get(each, FIRST_PER_ENDPOINT)]

    def take(self, webhook_id: str) -> None:
        self._running[webhook_id] += 1

    def give_back(self, webhook_id: str, *, succeeded: bool) -> None:
        self._running[webhook_id] -= 1
        if not self._running[webhook_id]:
            del self._running[webhook_id]
        earned = self._earned.get(webhook_id, FIRST_PER_ENDPOINT)
        self._earned[webhook_id] = min(MAX_PER_ENDPOINT, earned + 1) if succeeded else 1


def lease_due(slots: Slots) -> list[Leased]:
    """Lease what is due and has a slot, the longest due of each endpoint first; takes the slots."""
    if slots.free() <= 0:
        return []
    query = _ENDPOINTS.where(Webhook.id.not_in(slots.busy()))
    if slots.is_crowded():
        query = query.where(Webhook.consecutive_failures == 0)
    query = query.order_by(Webhook.consecutive_failures > 0, sa.func.random()).limit(slots.free())
    endpoints = db.session.execute(query).all()
    db.session.rollback()
    with_secrets = [(each, secrets) for each in endpoints if (secrets := _secrets(each, config()))]
    if not with_secrets:
        return []
    ids: list[str] = []
    with transaction() as session:
        for endpoint, _ in with_secrets:
            own = slots.free_for(endpoint.id, is_failing=endpoint.consecutive_failures > 0)
            count = max(0, min(own, slots.free() - len(ids)))
            ids += session.scalars(_DUE, {"webhook": endpoint.id, "count": count})
        rows = session.execute(_LEASE, {"ids": ids}).all() if ids else []
    for row in rows:
        slots.take(row.webhook_id)
    by_id = {each.id: (each.url, secrets) for each, secrets in with_secrets}
    return [Leased(row, *by_id[row.webhook_id]) for row in rows]


def _secrets(endpoint: Any, settings: Config) -> list[str]:
    """The secrets that sign now. Without a readable one the webhook is disabled."""
    try:
        found = [encryption.decrypt(settings, endpoint.id, endpoint.secret)]
    except SecretUnreadable as error:
        service.disable_for(endpoint.id, DisableCause.SECRET, str(error))
        return []
    if endpoint.previous_secret and endpoint.previous_is_valid:
        with suppress(SecretUnreadable):  # the present one is enough
            found.append(encryption.decrypt(settings, endpoint.id, endpoint.previous_secret))
    return found
