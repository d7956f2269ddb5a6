"""The rules of a bounty pool: the effect of each kind of entry on its totals. Pure: imports no framework.

`total` is all deposits; `available = total - reserved - paid` is never negative. Amounts are in minor units.
"""

from dataclasses import dataclass
from enum import StrEnum

from app.core.money import MAX_AMOUNT


class ChangeType(StrEnum):
    DEPOSIT = "DEPOSIT"
    RESERVATION = "RESERVATION"
    RESERVATION_RELEASED = "RESERVATION_RELEASED"
    PAYMENT_RELEASED = "PAYMENT_RELEASED"


@dataclass(frozen=True)
class Effect:
    """The factor by which an entry's amount is added to each total."""

    total: int = 0
    reserved: int = 0
    paid: int = 0


EFFECTS: dict[ChangeType, Effect] = {
    ChangeType.DEPOSIT: Effect(total=1),
    ChangeType.RESERVATION: Effect(reserved=1),
    ChangeType.RESERVATION_RELEASED: Effect(reserved=-1),
    ChangeType.PAYMENT_RELEASED: Effect(reserved=-1, paid=1),
}


@dataclass(frozen=True)
class Change:
    """A requested change of a pool, with its actor and its reason."""

    change_type: ChangeType
    amount_minor: int
    actor: str
    vulnerability_id: str | None = None
    payment_id: str | None = None
    reference: str | None = None


class PoolRuleBroken(Exception):
    """The change would leave totals that a pool must not have."""


@dataclass(frozen=True)
class Totals:
    total: int = 0
    reserved: int = 0
    paid: int = 0

    @property
    def available(self) -> int:
        return self.total - self.reserved - self.paid

    @property
    def are_valid(self) -> bool:
        return min(self.reserved, self.paid, self.available) >= 0 and self.total <= MAX_AMOUNT

    def after(self, change_type: ChangeType, amount_minor: int) -> "Totals":
        """The totals after one entry. Raises PoolRuleBroken."""
        effect = EFFECTS[change_type]
        after = Totals(
            self.total + effect.total * amount_minor,
            self.reserved + effect.reserved * amount_minor,
            self.paid + effect.paid * amount_minor,
        )
        if amount_minor <= 0 or not after.are_valid:
            raise PoolRuleBroken(f"{change_type} of {amount_minor} on {self}")
        return after
