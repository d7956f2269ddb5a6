import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.values import MAX_AMOUNT
from app.protocols.rules import ChangeType, Totals

amounts = st.integers(min_value=1, max_value=MAX_AMOUNT)
changes = st.lists(st.tuples(st.sampled_from(list(ChangeType)), st.integers(min_value=1, max_value=1000)))


def test_a_deposit_becomes_available():
    after = Totals().after(ChangeType.DEPOSIT, 1000)
    assert (after.total, after.available) == (1000, 1000)


def test_a_pool_holds_the_largest_amount():
    assert Totals().after(ChangeType.DEPOSIT, MAX_AMOUNT).total == MAX_AMOUNT


def test_a_reservation_reduces_the_available_amount_and_a_release_restores_it():
    reserved = Totals(total=1000).after(ChangeType.RESERVATION, 300)
    assert (reserved.available, reserved.reserved) == (700, 300)
    assert reserved.after(ChangeType.RESERVATION_RELEASED, 300) == Totals(total=1000)


def test_a_payment_is_made_from_the_reservation():
    paid = Totals(total=1000, reserved=300).after(ChangeType.PAYMENT_RELEASED, 300)
    assert (paid.available, paid.reserved, paid.paid) == (700, 0, 300)


@pytest.mark.parametrize(
    ("totals", "change_type", "amount"),
    [
        (Totals(total=100), ChangeType.RESERVATION, 101),
        (Totals(total=100, reserved=60), ChangeType.RESERVATION, 41),
        (Totals(total=100, reserved=60), ChangeType.RESERVATION_RELEASED, 61),
        (Totals(total=100, reserved=60), ChangeType.PAYMENT_RELEASED, 61),
        (Totals(total=MAX_AMOUNT), ChangeType.DEPOSIT, 1),
        (Totals(), ChangeType.DEPOSIT, 0),
        (Totals(total=5), ChangeType.RESERVATION, -1),
    ],
)
def test_a_change_that_exceeds_the_pool_is_refused(totals, change_type, amount):
    with pytest.raises(ValueError):
        totals.after(change_type, amount)


@given(changes)
def test_no_sequence_of_changes_makes_a_total_negative_or_creates_money(sequence):
    totals, deposited = Totals(), 0
    for change_type, amount in sequence:
        try:
            totals = totals.after(change_type, amount)
        except ValueError:
            continue
        deposited += amount if change_type is ChangeType.DEPOSIT else 0
        assert min(totals.available, totals.reserved, totals.paid) >= 0
        assert totals.available + totals.reserved + totals.paid == totals.total == deposited


@given(amounts, amounts)
def test_the_largest_pool_is_reached_exactly_and_not_passed(first, second):
    totals = Totals().after(ChangeType.DEPOSIT, first)
    if first + second <= MAX_AMOUNT:
        assert totals.after(ChangeType.DEPOSIT, second).total == first + second
    else:
        with pytest.raises(ValueError):
            totals.after(ChangeType.DEPOSIT, second)
