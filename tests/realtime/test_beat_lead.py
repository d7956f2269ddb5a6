"""Beat's lease: one holder, renewed by it alone, never longer than asked."""

import pytest
import redis

from app.realtime import scripts

LEASE_MS = 60_000


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
def lease(client):
    """`lease(token, milliseconds)`: whether this beat leads."""
    script = client.register_script(scripts.source("lease_lead"))
    return lambda token, milliseconds=LEASE_MS: bool(script(args=(token, milliseconds)))


def test_the_first_beat_leads_and_renews_its_lease(client, lease) -> None:
    assert lease("a")
    client.pexpire("beat:leader", 1000)
    assert lease("a")
    assert 1000 < client.pttl("beat:leader") <= LEASE_MS


def test_another_beat_neither_leads_nor_prolongs_the_lease(client, lease) -> None:
    lease("a", LEASE_MS)
    assert not lease("b", 2 * LEASE_MS)
    assert client.get("beat:leader") == b"a"
    assert 1 < client.pttl("beat:leader") <= LEASE_MS


def test_another_beat_shortens_a_lease_that_is_longer_than_its_own(client, lease) -> None:
    lease("a", 100 * LEASE_MS)
    assert not lease("b")
    assert 1000 < client.pttl("beat:leader") <= LEASE_MS


def test_only_the_holder_releases_the_lease(client, lease) -> None:
    lease("a")
    assert not lease("b", 0)
    assert client.get("beat:leader") == b"a"
    assert client.pttl("beat:leader") > 1000
    assert not lease("a", 0)
    assert not client.exists("beat:leader")
    assert lease("b")


def test_a_release_without_a_holder_leaves_the_lease_free(client, lease) -> None:
    assert not lease("a", 0)
    assert not client.exists("beat:leader")
