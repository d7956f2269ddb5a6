"""How long a provider's keys count, and when its key set is fetched again, with a provider and a clock of the test."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.auth import keys
from app.auth.keys import Key, KeySet, ProviderKeys
from app.core.errors import DependencyUnavailable
from app.core.outbound import OutboundError
from tests.support.processes import until

HOUR = 3600.0


class Provider:
    def __init__(self) -> None:
        self.keys: dict[str | None, Key] = {"a": Key("A", ["RS256"])}
        self.is_down = False
        self.fetches = 0
        self.now = 1000.0

    def fetch(self, _url: str) -> KeySet:
        self.fetches += 1
        if self.is_down:
            raise OutboundError("no response", detail="no route", was_connected=False)
        return {key_id: [key] for key_id, key in self.keys.items()}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    made = Provider()

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return made.now

    monkeypatch.setattr(keys, "fetch_key_set", made.fetch)
    monkeypatch.setattr(keys, "time", Clock)
    return made


@pytest.fixture
def found(provider: Provider) -> Callable[[str | None], list[Any]]:
    """What tokens with this key id may be signed with, after a fetch that was begun for it has ended."""
    source = ProviderKeys("https://id.example/keys")

    def ask(key_id: str | None) -> list[Any]:
        try:
            return [each.material for each in source.candidates(key_id, "RS256")]
        finally:
            until(source._fetch_over.is_set, 5, "the fetch is over")

    return ask


def test_keys_are_fetched_again_after_five_minutes(provider, found):
    assert found("a") == ["A"]
    provider.now += 300
    assert (found("a"), provider.fetches) == (["A"], 1)
    provider.now += 1
    assert (found("a"), provider.fetches) == (["A"], 2)
    provider.now += 299
    assert (found("a"), provider.fetches) == (["A"], 2)


def test_keys_that_cannot_be_fetched_again_are_kept_for_24_hours(provider, found):
    assert found("a") == ["A"]
    provider.is_down = True
    provider.now += 24 * HOUR
    assert found("a") == ["A"]
    provider.now += 1
    with pytest.raises(DependencyUnavailable) as refused:
        found("a")
    assert refused.value.code == "KEYS_UNAVAILABLE"
    provider.is_down = False
    provider.now += 10
    found("a")
    assert found("a") == ["A"]


def test_an_unknown_key_id_is_looked_up_at_most_every_ten_seconds(provider, found):
    assert found("a") == ["A"]
    provider.now += 9.9
    assert (found("new"), provider.fetches) == ([], 1)
    provider.keys["new"] = Key("N", ["RS256"])
    provider.now += 0.1
    assert (found("new"), provider.fetches) == (["N"], 2)
    provider.now += 5
    assert (found("other"), provider.fetches) == ([], 2)


def test_without_any_key_the_key_set_is_fetched_every_second(provider, found):
    provider.is_down = True
    for passed, fetches in ((0.0, 1), (0.9, 1), (0.1, 2), (1.0, 3)):
        provider.now += passed
        with pytest.raises(DependencyUnavailable):
            found("a")
        assert provider.fetches == fetches
    provider.is_down = False
    provider.now += 1
    assert found("a") == ["A"]


def test_a_token_without_a_key_id_is_verified_only_by_a_set_of_one_key(provider, found):
    assert found(None) == ["A"]
    provider.keys["b"] = Key("B", ["RS256"])
    provider.now += 301
    found("b")
    assert (found(None), found("b")) == ([], ["B"])


def test_a_key_that_the_provider_has_withdrawn_is_no_longer_accepted(provider, found):
    assert found("a") == ["A"]
    provider.keys = {"b": Key("B", ["RS256"])}
    provider.now += 301
    found("a")
    assert (found("a"), found("b")) == ([], ["B"])


def test_a_fetch_that_fails_is_counted_and_logged(provider, found, caplog):
    provider.is_down = True
    with pytest.raises(DependencyUnavailable):
        found("a")
    [record] = [each for each in caplog.records if each.message == "key_set.fetch_failed"]
    assert record.error == "OutboundError: no response no route"


def test_a_caller_who_has_a_key_does_not_wait_for_the_fetch_of_another(provider):
    class Running(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise AssertionError(f"waits for {timeout} s")

    source = ProviderKeys("https://id.example/keys")
    source.candidates("a", "RS256")
    until(source._fetch_over.is_set, 5, "the fetch is over")
    source._fetch_over = Running()
    provider.now += 301

    assert [each.material for each in source.candidates("a", "RS256")] == ["A"]
    assert provider.fetches == 1
