import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.payments.gateway import BREAKER_FAILURES, BREAKER_OPEN_SECONDS, Breaker
from app.payments.rules import is_recipient, payable_amount, retry_delay

positive = st.integers(min_value=1, max_value=10**18)


def test_the_whole_reservation_is_paid_by_default():
    assert payable_amount(500, None) == 500


def test_a_smaller_amount_can_be_paid():
    assert payable_amount(500, 200) == 200


def test_a_larger_amount_is_refused():
    with pytest.raises(InvalidInput, match="more than the reserved"):
        payable_amount(500, 501)


def test_without_a_reservation_an_amount_is_required():
    assert payable_amount(0, 200) == 200
    with pytest.raises(InvalidInput, match="required"):
        payable_amount(0, None)


@given(reserved=st.integers(min_value=0, max_value=10**18), requested=positive)
def test_the_paid_amount_is_the_requested_one_or_refused(reserved, requested):
    try:
        amount = payable_amount(reserved, requested)
    except InvalidInput:
        assert 0 < reserved < requested
    else:
        assert amount == requested


def test_pauses_double_from_the_base_up_to_the_cap():
    pauses = [retry_delay(attempt, base=1.0, cap=10.0, jitter=1.0) for attempt in range(1, 7)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@given(attempt=st.integers(min_value=1, max_value=10**6), jitter=st.floats(min_value=0, max_value=1))
def test_jitter_takes_away_at_most_half_of_a_pause(attempt, jitter):
    whole = retry_delay(attempt, base=1.0, cap=300.0, jitter=1.0)
    assert whole / 2 <= retry_delay(attempt, base=1.0, cap=300.0, jitter=jitter) <= whole


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def broken(breaker):
    for _ in range(BREAKER_FAILURES):
        breaker.record(was_reached=False)
    return breaker


def test_the_circuit_opens_after_several_failures_in_a_row_and_not_before(clock):
    breaker = Breaker(clock)
    for _ in range(BREAKER_FAILURES - 1):
        breaker.record(was_reached=False)
    assert breaker.remaining_seconds == 0
    breaker.record(was_reached=False)
    assert breaker.remaining_seconds == BREAKER_OPEN_SECONDS


def test_a_success_resets_the_count_of_failures(clock):
    breaker = Breaker(clock)
    for _ in range(BREAKER_FAILURES * 3):
        breaker.record(was_reached=False)
        breaker.record(was_reached=True)
    assert breaker.remaining_seconds == 0


def test_after_the_pause_one_failed_probe_opens_the_circuit_again(clock):
    breaker = broken(Breaker(clock))
    clock.now += BREAKER_OPEN_SECONDS
    assert breaker.remaining_seconds == 0
    breaker.record(was_reached=False)
    assert breaker.remaining_seconds == BREAKER_OPEN_SECONDS


def test_after_the_pause_a_successful_probe_closes_the_circuit(clock):
    breaker = broken(Breaker(clock))
    clock.now += BREAKER_OPEN_SECONDS
    breaker.record(was_reached=True)
    breaker.record(was_reached=False)
    assert breaker.remaining_seconds == 0


@pytest.mark.parametrize("good", ["0xabc", "a", "x" * 128, "0xabc → ü", "Zoë O'Neil, IBAN DE89 3704", "支払い先", "🏦"])
def test_a_recipient_is_any_visible_text(good):
    assert is_recipient(good)


@pytest.mark.parametrize(
    "bad",
    [
        "", " ", "\u3000", " a", "a ", "x" * 129, "a\nb", "a\tb", "\x85", "\u200b", "a\u200bb", "\u202eevil", "\ue000",
        "a\u00a0b", "\ufeffa", "a\u2028b", "\U000e0041", "\U000f0000", "a\u00adb", "\u0378",
        "\u3164", "\u2800", "\ufe0f",
    ],
)  # fmt: skip
def test_a_recipient_with_invisible_characters_is_refused(bad):
    assert not is_recipient(bad)


def test_more_than_a_reservation_of_the_smallest_unit_cannot_be_paid():
    with pytest.raises(InvalidInput):
        payable_amount(1, 2)
