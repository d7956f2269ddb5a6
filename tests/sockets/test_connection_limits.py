"""Limits on connections per token, address and process, and on events per connection."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.auth.permissions import Role
from app.auth.tokens import Principal
from app.config import load_config
from app.core.concurrency import RateCounter
from app.core.errors import TooManyRequests
from app.sockets.connections import Connection, Connections


def principal(token_id: str = "t") -> Principal:  # noqa: S107 - an id, no secret
    return Principal("v", Role.VIEWER, frozenset({"P1"}), 9e9, token_id)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Connections]:
    def build(**limits: int) -> Connections:
        environment = {
            "DASHBOARD_HOME": str(tmp_path),
            "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "DASHBOARD_SIGNING_KEY": "0123456789abcdef" * 4,
        }
        names = {f"DASHBOARD_{name.upper()}": str(value) for name, value in limits.items()}
        return Connections(load_config(environment | names))

    return build


def is_refused(action: Callable[[], object]) -> bool:
    try:
        action()
    except TooManyRequests as refusal:
        return refusal.code == "TOO_MANY_CONNECTIONS"
    return False


def test_connections_per_token_are_limited_and_a_closed_one_frees_a_place(make):
    here = make(sockets_per_token=2)
    here.open("a", principal(), "192.0.2.1")
    here.open("b", principal(), "192.0.2.2")
    assert is_refused(lambda: here.open("c", principal(), "192.0.2.3"))
    assert here.count == 2
    here.open("d", principal("other"), "192.0.2.3")
    here.close("a")
    here.open("e", principal(), "192.0.2.3")
    assert is_refused(lambda: here.open("f", principal(), "192.0.2.3"))


def test_connections_per_address_are_limited_across_tokens(make):
    here = make(sockets_per_address=2)
    here.open("a", principal("1"), "192.0.2.1")
    here.open("b", principal("2"), "192.0.2.1")
    assert is_refused(lambda: here.open("c", principal("3"), "192.0.2.1"))
    here.open("d", principal("3"), "192.0.2.2")
    here.close("b")
    here.open("e", principal("3"), "192.0.2.1")


def test_connections_per_process_are_limited(make):
    here = make(sockets_per_process=2)
    here.open("a", principal("1"), "192.0.2.1")
    here.open("b", principal("2"), "192.0.2.2")
    assert is_refused(lambda: here.open("c", principal("3"), "192.0.2.3"))
    here.close("a")
    here.open("c", principal("3"), "192.0.2.3")


def test_connections_of_other_processes_count_towards_the_limits_of_tokens_and_addresses(make):
    here = make(sockets_per_token=3, sockets_per_address=3)
    here.elsewhere.update({"token t": 2})
    here.open("a", principal(), "192.0.2.1")
    assert is_refused(lambda: here.open("b", principal(), "192.0.2.2"))
    here.elsewhere.clear()
    here.elsewhere.update({"address 192.0.2.7": 2})
    here.open("c", principal("x"), "192.0.2.7")
    assert is_refused(lambda: here.open("d", principal("y"), "192.0.2.7"))


def test_a_closed_connection_is_forgotten_and_closing_it_again_has_no_effect(make):
    here = make(sockets_per_token=2)
    opened = here.open("a", principal(), "192.0.2.1")
    here.open("b", principal(), "192.0.2.1")
    assert here.get("a") is opened
    assert here.close("a") is opened
    assert here.close("a") is None
    assert here.get("a") is None
    assert [each.sid for each in here.all()] == ["b"]
    here.open("c", principal(), "192.0.2.1")
    assert is_refused(lambda: here.open("d", principal(), "192.0.2.1"))


def test_a_renewed_token_replaces_the_old_one_in_the_counts(make):
    here = make(sockets_per_token=1)
    connection = here.open("a", principal("old"), "192.0.2.1")
    here.renew(connection, principal("old"))
    assert is_refused(lambda: here.open("b", principal("old"), "192.0.2.1"))
    here.renew(connection, principal("new"))
    assert connection.principal.token_id == "new"
    assert is_refused(lambda: here.open("b", principal("new"), "192.0.2.1"))
    here.open("b", principal("old"), "192.0.2.1")
    assert is_refused(lambda: here.renew(connection, principal("old")))
    here.close("a")
    here.open("c", principal("new"), "192.0.2.1")


def test_a_token_or_address_is_crowded_from_a_hundredth_of_its_limit(make):
    here = make(sockets_per_token=200, sockets_per_address=300)
    here.open("a", principal("1"), "192.0.2.1")
    assert here.crowded() == {}
    here.open("b", principal("1"), "192.0.2.1")
    assert here.crowded() == {"token 1": 2}
    here.open("c", principal("2"), "192.0.2.1")
    assert here.crowded() == {"token 1": 2, "address 192.0.2.1": 3}


def test_events_per_second_are_limited_and_twenty_times_the_limit_is_flooding():
    connection = Connection("a", principal(), "192.0.2.1", events_per_second=3)
    for _ in range(3):
        connection.count_event(10.0)
    with pytest.raises(TooManyRequests):
        connection.count_event(10.9)
    connection.count_event(11.0)
    assert not connection.is_flooding
    refused = 0
    for _ in range(20 * 3 - 1):
        try:
            connection.count_event(11.5)
        except TooManyRequests:
            refused += 1
    assert (refused, connection.is_flooding) == (57, False)
    with pytest.raises(TooManyRequests):
        connection.count_event(11.9)
    assert connection.is_flooding


def test_each_second_is_counted_separately():
    counted = RateCounter()
    assert [counted.add(at) for at in (5.0, 5.999, 6.0, 6.5, 8.0)] == [1, 2, 1, 2, 1]


def test_a_connection_is_named_by_its_subject_and_token_id():
    assert Connection("a", principal("t"), "192.0.2.1", 3).name == "v/t"
