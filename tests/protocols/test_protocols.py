"""Protocols: created, listed and shown only to those whose token names them."""

import pytest
from flask import Flask
from sqlalchemy import event, select, update

from app.core.database import transaction
from app.core.errors import ProtocolNotFound
from app.core.extensions import db
from app.protocols import service
from app.protocols.models import Pool
from app.protocols.rules import ChangeType
from app.realtime.outbox import OutboxEvent
from tests.factories import deposit, make_protocol, unique
from tests.support.api import Api
from tests.support.event_checks import moment


def test_a_new_protocol_is_returned_with_every_field_and_can_be_read(api: Api) -> None:
    created = api.admin.post("/protocols", {"id": "P1", "name": "Lending"}).expect(201)

    assert moment(created["createdAt"])
    assert {name: created[name] for name in ("id", "name", "currency")} == {
        "id": "P1",
        "name": "Lending",
        "currency": "USDC",
    }
    assert api.as_("viewer", protocols=["P1"]).get("/protocols/P1").expect(200) == created


def test_an_id_that_exists_is_a_conflict_and_changes_nothing(api: Api) -> None:
    api.admin.post("/protocols", {"id": "P1", "name": "first"}).expect(201)
    answer = api.admin.post("/protocols", {"id": "P1", "name": "second"})
    assert (answer.status, answer.code) == (409, "ALREADY_EXISTS")
    assert api.admin.get("/protocols/P1").expect(200)["name"] == "first"


@pytest.mark.parametrize("good", ["a", "0", "A.b_c:d-e", "x" * 64])
def test_an_id_of_the_allowed_characters_is_kept(good: str, api: Api) -> None:
    assert api.admin.post("/protocols", {"id": good, "name": "x"}).expect(201)["id"] == good


@pytest.mark.parametrize("bad", ["", "-a", ".a", "a b", "a/b", "x" * 65, "ä", "a\n", 5, ["a"], "a\0"])
def test_an_invalid_id_is_refused(bad: object, api: Api) -> None:
    assert list(api.admin.post("/protocols", {"id": bad, "name": "x"}).expect(422)["errors"]) == ["id"]


def test_a_token_lists_its_own_protocols_page_by_page(api: Api) -> None:
    own = sorted(make_protocol(api) for _ in range(5))
    make_protocol(api)
    viewer = api.as_("viewer", protocols=[*own, "never-made"])

    first = viewer.get("/protocols?limit=3").expect(200)
    second = viewer.get(f"/protocols?limit=3&cursor={first['nextCursor']}").expect(200)

    assert [each["id"] for each in first["items"] + second["items"]] == own
    assert second["nextCursor"] is None


def test_a_new_protocols_state_is_empty_and_its_seq_is_0(api: Api) -> None:
    protocol_id = make_protocol(api, id=unique("P"), currency="DAI")

    state = api.viewer.get(f"/protocols/{protocol_id}/state").expect(200)

    assert moment(state["asOf"])
    assert (state["seq"], state["agents"], state["payments"]) == ("0", [], [])
    assert state["protocol"]["id"] == protocol_id
    assert state["vulnerabilities"]["open"] == []
    pool = {name: state["pool"][name] for name in ("currency", "total", "available", "reserved", "paid")}
    assert pool == {"currency": "DAI", "total": "0.00", "available": "0.00", "reserved": "0.00", "paid": "0.00"}


@pytest.mark.database("sqlite")
def test_the_events_of_a_protocol_are_numbered_from_1(app: Flask, api: Api) -> None:
    protocol_id = make_protocol(api)
    for _ in range(2):
        deposit(api, protocol_id, "1.00")

    with app.app_context():
        positions = select(OutboxEvent.position).where(OutboxEvent.protocol_id == protocol_id)
        assert sorted(db.session.scalars(positions)) == [1, 2]


@pytest.mark.database("sqlite")
def test_a_protocol_that_exists_is_looked_up_once_and_another_is_not_found(app: Flask, api: Api) -> None:
    protocol_id, queries = make_protocol(api), []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *given: queries.append(given[2]))

        for _ in range(3):
            service.check_exists(protocol_id)
            db.session.remove()  # which knows the rows that it has read
        assert len([query for query in queries if query.startswith("SELECT")]) == 1
        with pytest.raises(ProtocolNotFound):
            service.check_exists(unique("P"))


def test_a_pool_is_read_anew_although_the_session_holds_it(api: Api, in_context: Flask) -> None:
    protocol_id = make_protocol(api)
    held = service.get_pool(protocol_id)
    statement = update(Pool).where(Pool.protocol_id == protocol_id).values(total_minor=5)
    db.session.execute(statement, execution_options={"synchronize_session": False})
    assert held.total_minor == 0

    assert service.get_pool(protocol_id).total_minor == 5


@pytest.mark.parametrize("kind", [ChangeType.RESERVATION_RELEASED, ChangeType.PAYMENT_RELEASED])
def test_releasing_more_than_is_reserved_is_a_fault_of_ours_and_changes_nothing(
    api: Api, in_context: Flask, kind: ChangeType
) -> None:
    protocol_id = make_protocol(api)

    with pytest.raises(RuntimeError, match=f"{kind} of 1.00 does not fit"), transaction() as session:
        service.apply_change(session, protocol_id, kind, 1_000_000, "somebody")

    assert service.get_pool(protocol_id).version == 0
