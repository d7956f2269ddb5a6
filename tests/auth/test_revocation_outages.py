"""Revocations while Redis or the database is down: known ones stay in force, new ones are read where possible."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from sqlalchemy.exc import OperationalError

from app.auth import revocation
from app.auth.permissions import Role
from app.auth.tokens import Principal
from app.core.errors import TokenRevoked
from tests.factories import make_protocol
from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")

NOBODY = "redis://127.0.0.1:1/0"


def app_of(api: Api) -> Any:
    return api.transport.client.application


def known(api: Api) -> Any:
    return app_of(api).extensions["revocations"]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`passes(3)`: so many seconds, for revocations alone."""
    started = revocation.time.monotonic()  # a busy machine must not add to it
    ahead = 0.0

    class Clock:
        time = staticmethod(revocation.time.time)
        sleep = staticmethod(revocation.time.sleep)

        @staticmethod
        def monotonic() -> float:
            return started + ahead

    monkeypatch.setattr(revocation, "time", Clock)

    def turn(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    return turn


def revoke(api: Api, jti: str) -> None:
    api.admin.post("/tokens/revoke", {"jti": jti, "reason": "leaked"}).expect(201)


def status(api: Api, jti: str) -> int:
    return api.as_("viewer", jti=jti).get("/protocols").status


def test_without_redis_a_revocation_applies_here_at_once_and_elsewhere_with_the_next_database_check(app_with, passes):
    here, there = app_with(REDIS_URL=NOBODY), app_with(REDIS_URL=NOBODY)
    assert status(there, "shared") == 200

    revoke(here, "shared")

    assert status(here, "shared") == 401
    passes(3)
    assert status(there, "shared") == 401


def test_between_two_checks_neither_redis_nor_the_database_is_read(app_with, passes):
    here, there = app_with(), app_with()
    assert (status(here, "shared"), status(there, "shared")) == (200, 200)
    revoke(here, "shared")
    passes(2)
    assert status(there, "shared") == 200
    passes(1)
    assert status(there, "shared") == 401


def test_a_check_without_a_new_revocation_reads_the_database_every_30_seconds(app_with, passes, monkeypatch):
    api = app_with()
    loads = []
    load = known(api).load
    assert status(api, "any") == 200
    monkeypatch.setattr(known(api), "load", lambda: (loads.append(1), load()))
    for _ in range(9):
        passes(3)
        assert status(api, "any") == 200
    assert loads == []
    passes(4)
    assert status(api, "any") == 200
    assert loads == [1]


def test_known_revocations_stay_in_force_while_redis_and_database_are_down(app_with, passes, monkeypatch, counted):
    api = app_with()
    revoke(api, "gone")
    before = counted("dashboard_revocation_failures_total")

    def fails(*_: Any) -> Any:
        raise OperationalError("select", {}, Exception("the database is away"))

    class Away:
        def get(self, *_: Any) -> Any:
            raise redis.ConnectionError

    monkeypatch.setattr(known(api), "load", fails)
    monkeypatch.setattr(revocation, "redis_client", Away)
    passes(60)
    with app_of(api).app_context():
        known(api).refresh()
        with pytest.raises(TokenRevoked) as refused:
            known(api).check(principal("v", "gone", 10.0))
        known(api).check(principal("v", "kept", 10.0))

    assert refused.value.code == "TOKEN_REVOKED"
    assert counted("dashboard_revocation_failures_total") > before


def test_a_failed_check_is_repeated_with_the_next(app_with, passes, monkeypatch):
    here, there = app_with(), app_with()
    assert status(there, "shared") == 200
    revoke(here, "shared")

    def fails() -> None:
        raise OperationalError("select", {}, Exception("the database is away"))

    with monkeypatch.context() as outage:
        outage.setattr(known(there), "load", fails)
        passes(3)
        assert status(there, "shared") == 200
    passes(3)
    assert status(there, "shared") == 401


def principal(subject: str, token_id: str, issued_at: float) -> Principal:
    return Principal(subject, Role.VIEWER, frozenset({"*"}), 9e9, token_id, issued_at)


def test_a_subjects_revocation_covers_tokens_issued_until_then_plus_the_leeway(app_with):
    api = app_with(DASHBOARD_TOKEN_LEEWAY="5")
    make_protocol(api)
    covers = known(api).is_revoked
    assert not covers(principal("carol", "a", 0.0))
    api.admin.post("/tokens/revoke", {"subject": "carol", "reason": "left"}).expect(201)
    [revocation] = api.admin.get("/tokens/revoked").expect(200)["items"]
    revoked_at = known(api)._subjects["carol"]

    assert revocation["subject"] == "carol"
    assert covers(principal("carol", "a", revoked_at - 1000))
    assert covers(principal("carol", "a", revoked_at + 5))
    assert not covers(principal("carol", "a", revoked_at + 5.01))
    assert not covers(principal("dave", "a", revoked_at - 1000))


def test_of_several_revocations_of_a_subject_the_latest_applies(app_with):
    api = app_with(DASHBOARD_TOKEN_LEEWAY="0")
    moments = []
    for _ in range(2):
        api.admin.post("/tokens/revoke", {"subject": "carol", "reason": "left"}).expect(201)
        moments.append(known(api)._subjects["carol"])
    assert moments[1] > moments[0]
    with app_of(api).app_context():
        known(api).load()
    assert known(api).is_revoked(principal("carol", "a", moments[1]))


def test_while_one_caller_reads_anew_others_go_on_with_the_known_revocations(app_with, monkeypatch, passes) -> None:
    api = app_with()
    revoke(api, "leaked")
    assert status(api, "leaked") == 401
    revocations = known(api)
    passes(revocation.STALE_SECONDS + 1)

    with revocations._loading:  # as a thread does that waits for the database
        assert (status(api, "leaked"), status(api, "other")) == (401, 200)
