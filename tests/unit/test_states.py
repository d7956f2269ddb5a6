import itertools

import pytest

from app.vulnerabilities.rules import COMES_FROM, Severity, Status

ALLOWED = {
    (Status.PENDING, Status.CONFIRMED),
    (Status.PENDING, Status.REJECTED),
    (Status.CONFIRMED, Status.PAID),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(Status, Status)))
def test_only_the_three_transitions_of_the_contract_are_allowed(old, new):
    assert (COMES_FROM.get(new) is old) == ((old, new) in ALLOWED)


def test_nothing_leads_back_to_pending():
    assert Status.PENDING not in COMES_FROM


def test_critical_is_the_gravest_and_info_the_least():
    by_gravity = sorted(Severity, key=lambda each: each.rank)
    assert by_gravity == ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]
