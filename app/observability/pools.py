"""How many database connections this process has in use."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from app.observability.metrics import DATABASE_CONNECTIONS


def init() -> None:
    """Count in every pool of this process; a second call changes nothing."""
    for name, listener in (("checkout", _taken), ("checkin", _given_back)):
        if not event.contains(Pool, name, listener):
            event.listen(Pool, name, listener)


def _taken(connection: Any, record: Any, proxy: Any) -> None:
    del connection, proxy
    record.info["in_use"] = True
    DATABASE_CONNECTIONS.inc()


def _given_back(connection: Any, record: Any) -> None:
    """Also called for a connection that could not be handed out."""
    del connection
    if record.info.pop("in_use", False):
        DATABASE_CONNECTIONS.dec()
