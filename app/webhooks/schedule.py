"""How long an attempt may take, when a delivery that failed is tried again, and how long a failing endpoint is left
alone. Pure."""

from datetime import timedelta

ATTEMPT_SECONDS = 10.0
_MINUTE, _HOUR = 60.0, 3600.0
RETRY_DELAYS = (
    5.0, _MINUTE, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip
MAX_RETRY_AFTER = _HOUR
FAILING_PERIOD = timedelta(days=3)  # without a success in it the webhook is disabled
FAILURES_BEFORE_PAUSE = 5
MAX_PAUSE = _MINUTE
_MAX_DOUBLINGS = 6


def retry_delay(failures: int, jitter: float, retry_after: float = 0.0) -> float | None:
    """Seconds until the attempt after the n-th failure; None when there is none.

    The schedule's delay, of which a `jitter` of 0 takes a tenth and 1 adds one; no shorter than what the endpoint asked
    for, up to an hour.
    """
    if failures > len(RETRY_DELAYS):
        return None
    return max(RETRY_DELAYS[failures - 1] * (0.9 + jitter / 5), min(retry_after, MAX_RETRY_AFTER))


def endpoint_pause(failures: int, retry_after: float = 0.0) -> float:
    """Seconds for which an endpoint gets nothing after so many failures in a row: a circuit breaker.

    The first failures may concern single deliveries. From the fifth on one attempt at a time probes the endpoint, after
    1 s, 2 s, 4 s, … up to a minute; it is left alone no shorter than it asked for, up to an hour.
    """
    doublings = min(failures - FAILURES_BEFORE_PAUSE, _MAX_DOUBLINGS)
    pause = min(MAX_PAUSE, 2.0**doublings) if doublings >= 0 else 0.0
    return max(pause, min(retry_after, MAX_RETRY_AFTER))
