"""Rate limits: exact at the limit, shown in headers, shared by processes, working without Redis."""

import pytest

from app.http.rate_limits import SYNC_SECONDS, Limit, address_key, share
from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")  # rate limits do not depend on the database

PER_SECOND = 20


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("pause", [0.0001, 0.001, 0.013, 0.05])
def test_a_caller_at_the_limit_in_each_second_is_never_refused(pause: float) -> None:
    clock = Clock()
    limit = Limit("token", PER_SECOND, clock)
    sent: list[float] = []
    for _ in range(2000):
        clock.now += pause
        if sum(moment > clock.now - 1 for moment in sent[-PER_SECOND:]) < PER_SECOND:
            assert limit.take("k") is not None
            sent.append(clock.now)


def test_beyond_the_limit_exactly_the_limits_rate_gets_through() -> None:
    clock = Clock()
    limit = Limit("token", PER_SECOND, clock)
    taken = 0
    for _ in range(10_000):
        clock.now += 0.001
        taken += limit.take("k") is not None
    assert taken in range(PER_SECOND * 10, PER_SECOND * 11 + 2)


def test_processes_share_one_limit_by_exchanging_usage() -> None:
    clock = Clock()
    here, there = Limit("token", 100, clock), Limit("token", 100, clock)
    total = taken = 0
    for _ in range(20):  # ten seconds of two processes that are both asked for far more
        clock.now += SYNC_SECONDS
        took = [sum(limit.take("k") is not None for _ in range(200)) for limit in (here, there)]
        taken += sum(took)
        total += sum(took)
        for limit, own in zip((here, there), took, strict=True):
            limit.take_busy_usage()
            limit.add_usage_elsewhere("k", own, total)
    assert taken <= 100 * 10 + 2 * 100 + 200  # the rate, a full bucket each, and one round of not knowing


def test_a_token_beyond_its_limit_gets_429_and_others_do_not(app_with) -> None:
    api = app_with(DASHBOARD_REST_PER_TOKEN=str(PER_SECOND))
    eager, calm = api.viewer, api.viewer

    answers = [eager.get("/protocols") for _ in range(PER_SECOND * 4)]

    refused = [answer for answer in answers if answer.status == 429]
    assert len(answers) - len(refused) >= PER_SECOND
    assert refused
    assert {answer.code for answer in refused} == {"RATE_LIMITED"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert calm.get("/protocols").status == 200


def test_an_address_beyond_its_limit_gets_429_without_any_token(app_with) -> None:
    api = app_with(DASHBOARD_REST_PER_ADDRESS=str(PER_SECOND))

    statuses = [api.with_token(None).get("/protocols").status for _ in range(PER_SECOND * 4)]

    assert set(statuses) == {401, 429}
    assert statuses[:PER_SECOND] == [401] * PER_SECOND
    assert api.with_token(None).get("//healthz").status == 200


def test_every_response_has_the_limits_and_the_requests_left(api: Api) -> None:
    headers = api.viewer.get("/protocols").headers

    assert headers["ratelimit-policy"] == '"token";q=1000;w=1, "address";q=3000;w=1'
    assert headers["ratelimit"] == '"token";r=999;t=1'


def test_without_redis_each_process_grants_the_limit_by_itself(app_with, valkey) -> None:
    api = app_with(DASHBOARD_REST_PER_TOKEN=str(PER_SECOND), REDIS_URL="redis://127.0.0.1:1/0")
    app = api.transport.client.application

    statuses = [api.viewer.get("/stats?protocolId=x").status for _ in range(3)]
    caller = api.viewer
    limited = [caller.get("/protocols").status for _ in range(PER_SECOND * 4)]
    share(app)

    assert 429 not in statuses
    assert {200, 429} == set(limited)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"), ("nonsense" * 20, ("nonsense" * 20)[:64]), ("", ""),
    ],
)  # fmt: skip
def test_an_address_is_limited_by_its_subscribers_prefix(address: str, key: str) -> None:
    assert address_key(address) == key
