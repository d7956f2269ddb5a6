"""Fixtures of the payments' tests."""

from collections.abc import Iterator

import pytest

from tests.support.money import PayoutService, payout_service


@pytest.fixture
def service() -> Iterator[PayoutService]:
    """A payout service that pays, unless it is given `replies`."""
    with payout_service() as running:
        yield running
