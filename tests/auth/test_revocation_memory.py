"""What one process knows of the revoked tokens: which rows it reads, and when it forgets them."""

import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from app.auth import revocation
from app.auth.permissions import Role
from app.auth.revocation import Revocations, RevokedToken
from app.auth.tokens import Principal
from app.core.database import transaction, utc_now

pytestmark = pytest.mark.database("sqlite")

DAY = 24 * 3600
LONGEST_LIFE = 400 * DAY
MARGIN = 300  # seconds that a slow machine may take between two lines of a test


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`passes(3)`: so many seconds, and no others, for revocations alone."""
    real, now = revocation.time, [1000.0]
    clock = SimpleNamespace(time=real.time, sleep=real.sleep, monotonic=lambda: now[0])
    monkeypatch.setattr(revocation, "time", clock)
    return lambda seconds: now.append(now.pop() + seconds)


def store(**members: Any) -> None:
    fields = {"reason": "leaked", "revoked_by": "admin-1", "revoked_at": utc_now()} | members
    with transaction() as session:
        session.add(RevokedToken(**fields))


def refused(known: Revocations, *token_ids: str) -> list[str]:
    return [each for each in token_ids if known.is_revoked(Principal("v", Role.VIEWER, frozenset(), 9e9, each))]


def refused_subjects(known: Revocations, *subjects: str) -> list[str]:
    return [each for each in subjects if known.is_revoked(Principal(each, Role.VIEWER, frozenset(), 9e9, "any"))]


def ago(seconds: float) -> Any:
    return utc_now() - timedelta(seconds=seconds)


def test_a_token_is_forgotten_a_day_after_its_expiry(in_context: Flask) -> None:
    known = Revocations(leeway=0)
    store(token_id="kept", expires_at=ago(DAY - MARGIN))
    store(token_id="forgotten", expires_at=ago(DAY + MARGIN))

    known.load()

    assert refused(known, "kept", "forgotten") == ["kept"]


def test_a_subject_is_forgotten_a_day_after_its_last_token_has_expired(in_context: Flask) -> None:
    known = Revocations(leeway=0)
    store(subject="kept", revoked_at=ago(LONGEST_LIFE + DAY - MARGIN))
    store(subject="forgotten", revoked_at=ago(LONGEST_LIFE + DAY + MARGIN))

    known.load()

    assert refused_subjects(known, "kept", "forgotten") == ["kept"]


def test_a_process_cleans_its_memory_every_ten_minutes(in_context: Flask, passes: Callable[[float], None]) -> None:
    known = Revocations(leeway=0)
    known.load()
    store(token_id="old", expires_at=ago(DAY + MARGIN))

    passes(599)
    known.load()
    assert refused(known, "old") == ["old"]
    passes(1)
    known.load()
    assert refused(known, "old") == []


def test_the_last_thousand_rows_are_read_again_because_they_may_be_committed_late(in_context: Flask) -> None:
    known = Revocations(leeway=0)
    store(id=2000, token_id="newest")
    known.load()
    store(id=1001, token_id="late")
    store(id=1000, token_id="too late")

    known.load()

    assert refused(known, "newest", "late", "too late") == ["newest", "late"]


def test_an_older_database_is_read_from_its_first_row(in_context: Flask) -> None:
    known = Revocations(leeway=0)
    known._last_id = 5000
    store(id=1, token_id="first")

    known.load()
    store(id=2, token_id="second")
    known.load()

    assert refused(known, "first", "second") == ["first", "second"]


def test_of_two_revocations_of_a_token_the_longer_one_counts(in_context: Flask) -> None:
    known = Revocations(leeway=0)
    store(token_id="kept", expires_at=ago(0))
    store(token_id="kept", expires_at=ago(2 * DAY))

    known.load()

    assert refused(known, "kept") == ["kept"]


@pytest.mark.parametrize(("seconds", "is_read"), [(2.5, False), (2.6, True)])
def test_a_caller_reads_revocations_that_are_older_than_two_and_a_half_seconds(
    in_context: Flask, passes: Callable[[float], None], seconds: float, is_read: bool
) -> None:
    known = Revocations(leeway=0)
    known.refresh()
    store(token_id="gone")
    known._version = "another"  # as if somebody had announced it
    passes(seconds)

    caller = Principal("v", Role.VIEWER, frozenset(), 9e9, "gone")
    if is_read:
        with pytest.raises(revocation.TokenRevoked):
            known.check(caller)
    else:
        known.check(caller)


@pytest.mark.parametrize(("seconds", "is_read"), [(29.9, False), (30.0, True)])
def test_the_database_is_read_every_thirty_seconds_without_an_announcement(
    in_context: Flask, passes: Callable[[float], None], seconds: float, is_read: bool
) -> None:
    known = Revocations(leeway=0)
    known.refresh()
    store(token_id="gone")
    passes(seconds)

    known.refresh()

    assert refused(known, "gone") == (["gone"] if is_read else [])


def test_a_process_that_has_loaded_nothing_asks_the_database_once_a_second(
    in_context: Flask, passes: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, asked = Revocations(leeway=0), []

    def fails() -> None:
        asked.append("")
        raise OperationalError("select", {}, Exception("the database is away"))

    monkeypatch.setattr(known, "load", fails)
    for seconds, times in ((0.0, 1), (0.9, 1), (0.25, 2)):
        passes(seconds)
        known.refresh()
        assert len(asked) == times


def test_a_process_that_has_loaded_once_reads_news_at_each_refresh(
    in_context: Flask, passes: Callable[[float], None]
) -> None:
    known = Revocations(leeway=0)
    known.refresh()
    store(token_id="gone")
    known._version = "another"

    known.refresh()

    assert refused(known, "gone") == ["gone"]


def test_all_callers_wait_for_the_same_first_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    known, readings, may_end = Revocations(leeway=0), [], threading.Event()
    called = threading.Semaphore(0)

    def read_slowly() -> None:
        readings.append("")
        may_end.wait(60)

    def refresh() -> None:
        called.release()
        known.refresh()

    monkeypatch.setattr(known, "_refresh", read_slowly)
    callers = [threading.Thread(target=refresh) for _ in range(20)]
    for caller in callers:
        caller.start()
    for _ in callers:
        called.acquire()
    may_end.set()
    for caller in callers:
        caller.join(60)

    assert len(readings) < 10  # two, and one more for each thread that was stopped on its way into `refresh`


def test_what_is_revoked_while_another_thread_cleans_the_memory_is_kept(in_context: Flask) -> None:
    """As with threads that are served by gunicorn: a request revokes while another one cleans."""
    known, began, revoked = Revocations(0.0), threading.Event(), threading.Event()

    class Slow(dict[str, float]):
        def items(self) -> Any:
            for pair in super().items():
                began.set()
                revoked.wait(0.3)
                yield pair

    store(token_id="first", expires_at=utc_now() + timedelta(days=1))
    known._token_ids = Slow()
    errors: list[Exception] = []

    def clean() -> None:
        with in_context.app_context():
            try:
                known.load()
            except RuntimeError as error:
                errors.append(error)

    cleaning = threading.Thread(target=clean)
    cleaning.start()
    assert began.wait(60)
    store(token_id="second", expires_at=utc_now() + timedelta(days=1))
    known.load()
    revoked.set()
    cleaning.join(60)

    assert (errors, refused(known, "first", "second")) == ([], ["first", "second"])
