"""How many connections a token, an address and a process may have, and how many events a connection may send."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.auth.permissions import Role
from app.auth.tokens import Principal
from app.config import load_config
from app.core.errors import TooManyRequests
from app.core.rate_counter import RateCounter
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


def test_a_token_has_as_many_connections_as_it_may_and_a_closed_one_makes_room(make):
    here = make(sockets_per_token=2)
    here.open("a", principal(), "192.0.2.1")
    here.open("b", principal(), "192.0.2.2")
    assert is_refused(lambda: here.open("c", principal(), "192.0.2.3"))
    assert here.count == 2
    here.open("d", principal("other"), "192.0.2.3")
    here.close("a")
    here.open("e", principal(), "192.0.2.3")
    assert is_refused(lambda: here.open("f", principal(), "192.0.2.3"))


def test_an_address_has_as_many_connections_as_it_may_whatever_its_tokens(make):
    here = make(sockets_per_address=2)
    here.open("a", principal("1"), "192.0.2.1")
    here.open("b", principal("2"), "192.0.2.1")
    assert is_refused(lambda: here.open("c", principal("3"), "192.0.2.1"))
    here.open("d", principal("3"), "192.0.2.2")
    here.close("b")
    here.open("e", principal("3"), "192.0.2.1")


def test_a_process_has_as_many_connections_as_it_may(make):
    here = make(sockets_per_process=2)
    here.open("a", principal("1"), "192.0.2.1")
    here.open("b", principal("2"), "192.0.2.2")
    assert is_refused(lambda: here.open("c", principal("3"), "192.0.2.3"))
    here.close("a")
    here.open("c", principal("3"), "192.0.2.3")


def test_connections_of_other_processes_count_for_tokens_and_addresses(make):
    here = make(sockets_per_token=3, sockets_per_address=3)
    here.elsewhere.update({"token t": 2})
    here.open("a", principal(), "192.0.2.1")
    assert is_refused(lambda: here.open("b", principal(), "192.0.2.2"))
    here.elsewhere.clear()
    here.elsewhere.update({"address 192.0.2.7": 2})
    here.open("c", principal("x"), "192.0.2.7")
    assert is_refused(lambda: here.open("d", principal("y"), "192.0.2.7"))


def test_what_is_closed_is_forgotten_and_closing_twice_harms_nobody(make):
    here = make(sockets_per_token=2)
    opened = here.open("a", principal(), "192.0.2.1")
    here.open("b", principal(), "192.0.2.1")
    assert here.get("a") is opened
    assert here.close("a") is opened
    assert here.close("a") is None
    assert here.get("a") is None
    assert [each.sid for each in here.all()] == ["b"]
    assert [each.sid for each in here.where(lambda each: each.sid != "b")] == []
    here.open("c", principal(), "192.0.2.1")
    assert is_refused(lambda: here.open("d", principal(), "192.0.2.1"))


def test_a_renewed_token_takes_the_place_of_the_old_one(make):
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


def test_other_processes_are_told_of_tokens_and_addresses_from_a_hundredth_of_their_limit(make):
    here = make(sockets_per_token=200, sockets_per_address=300)
    here.open("a", principal("1"), "192.0.2.1")
    assert here.busy() == {}
    here.open("b", principal("1"), "192.0.2.1")
    assert here.busy() == {"token 1": 2}
    here.open("c", principal("2"), "192.0.2.1")
    assert here.busy() == {"token 1": 2, "address 192.0.2.1": 3}


def test_a_connection_may_send_so_many_events_in_a_second_and_floods_far_beyond():
    connection = Connection("a", principal(), "192.0.2.1", events_per_second=3)
    for _ in range(3):
        connection.count_event(10.0)
    with pytest.raises(TooManyRequests):
        connection.count_event(10.9)
    connection.count_event(11.0)
    assert not connection.floods
    refused = 0
    for _ in range(20 * 3 - 1):
        try:
            connection.count_event(11.5)
        except TooManyRequests:
            refused += 1
    assert (refused, connection.floods) == (57, False)
    with pytest.raises(TooManyRequests):
        connection.count_event(11.9)
    assert connection.floods


def test_each_second_is_counted_by_itself():
    counted = RateCounter()
    assert [counted.add(at) for at in (5.0, 5.999, 6.0, 6.5, 8.0)] == [1, 2, 1, 2, 1]


def test_in_logs_a_connection_is_its_subject_and_its_tokens_id():
    assert Connection("a", principal("t"), "192.0.2.1", 3).name == "v/t"
