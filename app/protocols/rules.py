"""The rules of a bounty pool: the effect of each kind of entry on its totals. Pure: imports no framework.

`total` is all deposits; `available = total - reserved - paid` is never negative. Amounts are in minor units.
"""

from dataclasses import dataclass
from enum import StrEnum

from app.core.values import MAX_AMOUNT


class ChangeType(StrEnum):
    DEPOSIT = "DEPOSIT"
    RESERVATION = "RESERVATION"
    RESERVATION_RELEASED = "RESERVATION_RELEASED"
    PAYMENT_RELEASED = "PAYMENT_RELEASED"


@dataclass(frozen=True)
class Totals:
    total: int = 0
    reserved: int = 0
    paid: int = 0

    @property
    def available(self) -> int:
        return self.total - self.reserved - self.paid

    def after(self, change_type: ChangeType, amount_minor: int) -> "Totals":
        """The totals after one entry. Raises ValueError for an entry or totals that a pool must not have."""
        factors = EFFECTS[change_type]
        after = Totals(
            self.total + factors.total * amount_minor,
            self.reserved + factors.reserved * amount_minor,
            self.paid + factors.paid * amount_minor,
        )
        is_valid = min(after.reserved, after.paid, after.available) >= 0 and after.total <= MAX_AMOUNT
        if amount_minor <= 0 or not is_valid:
            raise ValueError(f"{change_type} of {amount_minor} on {self}")
        return after


EFFECTS = {
    ChangeType.DEPOSIT: Totals(total=1),
    ChangeType.RESERVATION: Totals(reserved=1),
    ChangeType.RESERVATION_RELEASED: Totals(reserved=-1),
    ChangeType.PAYMENT_RELEASED: Totals(reserved=-1, paid=1),
}
"""The factors by which an entry's amount is added to each total."""
