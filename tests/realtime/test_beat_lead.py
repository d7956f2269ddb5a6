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
    """`lease(token, milliseconds)`: 1 if this beat leads, else 0."""
    script = client.register_script(scripts.source("lease_lead"))
    return lambda token, milliseconds=LEASE_MS: script(keys=["beat:leader"], args=(token, milliseconds))


def test_the_first_beat_leads_and_renews_its_lease(client, lease) -> None:
    assert lease("a") == 1
    client.pexpire("beat:leader", 1000)
    assert lease("a") == 1
    assert 1000 < client.pttl("beat:leader") <= LEASE_MS


def test_another_beat_neither_leads_nor_prolongs_the_lease(client, lease) -> None:
    lease("a", LEASE_MS)
    assert lease("b", 2 * LEASE_MS) == 0
    assert client.get("beat:leader") == b"a"
    assert 1 < client.pttl("beat:leader") <= LEASE_MS


def test_another_beat_shortens_a_lease_that_is_longer_than_its_own(client, lease) -> None:
    lease("a", 100 * LEASE_MS)
    assert lease("b") == 0
    assert 1000 < client.pttl("beat:leader") <= LEASE_MS


def test_only_the_holder_releases_the_lease(client, lease) -> None:
    lease("a")
    assert lease("b", 0) == 0
    assert client.get("beat:leader") == b"a"
    assert client.pttl("beat:leader") > 1000
    assert lease("a", 0) == 0
    assert not client.exists("beat:leader")
    assert lease("b") == 1


def test_a_release_without_a_holder_leaves_the_lease_free(client, lease) -> None:
    assert lease("a", 0) == 0
    assert not client.exists("beat:leader")
