"""The schedule of the contract, and the pauses of failing endpoints."""

import pytest

from app.webhooks.schedule import RETRY_DELAYS, endpoint_pause, retry_delay


def test_the_schedule_is_the_contracts_with_a_tenth_of_jitter():
    hours = [5 / 3600, 1 / 60, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert [each / 3600 for each in RETRY_DELAYS] == pytest.approx(hours)
    for failures, hour in enumerate(hours, 1):
        assert retry_delay(failures, 0.0) == pytest.approx(hour * 3600 * 0.9)
        assert retry_delay(failures, 1.0) == pytest.approx(hour * 3600 * 1.1)
    assert retry_delay(11, 0.5) is None


def test_retry_after_only_lengthens_a_delay_and_by_an_hour_at_most():
    assert retry_delay(1, 0.5, retry_after=60.0) == 60.0
    assert retry_delay(1, 0.5, retry_after=float("inf")) == 3600.0
    assert retry_delay(10, 0.5, retry_after=60.0) == pytest.approx(24 * 3600)


def test_an_endpoint_is_left_alone_from_its_fifth_failure_on_for_up_to_a_minute():
    assert [endpoint_pause(failures) for failures in (0, 1, 4, 5, 6, 7, 10, 11, 1000)] == [0, 0, 0, 1, 2, 4, 32, 60, 60]
    assert [endpoint_pause(1, after) for after in (30.0, 1e12)] == [30.0, 3600.0]
