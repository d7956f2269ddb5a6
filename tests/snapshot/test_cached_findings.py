"""Of a state's findings only those are read again that an event names, and each of their changes shows at once."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, update

from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.realtime.outbox import OutboxEvent
from app.vulnerabilities import queries
from app.vulnerabilities.models import Vulnerability
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.snapshot.test_state import state_of
from tests.support.api import Api
from tests.support.money import funded_protocol, request_payment
from tests.support.seeds import SEED


@contextmanager
def reading_findings(app: Flask) -> Iterator[list[str]]:
    """The parameters of the statements that read findings while the `with` lasts."""
    read: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "FROM vulnerabilities" in statement:
            read.append(str(parameters))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield read
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_each_change_of_a_finding_shows_in_the_next_state(api: Api) -> None:
    protocol_id = funded_protocol(api)
    finding = file_vulnerability(api, protocol_id)["id"]
    path = f"/vulnerabilities/{finding}"
    steps = [
        lambda: api.validator.post(f"{path}/confirm", {"bounty": "100.00"}).expect(200),
        lambda: request_payment(api, path),
        lambda: api.validator.post(f"/vulnerabilities/{other}/reject", {"reason": "A duplicate."}).expect(200),
    ]
    other = file_vulnerability(api, protocol_id, bounty="1.00")["id"]
    for step in steps:
        state_of(api, protocol_id)
        step()
        shown = state_of(api, protocol_id)["vulnerabilities"]["open"]
        assert shown[-1] == api.viewer.get(path).expect(200)
    assert [each["id"] for each in shown] == [finding]


def test_findings_are_read_again_only_if_an_event_names_them(api: Api, app: Flask) -> None:
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    first, second = (file_vulnerability(api, protocol_id) for _ in range(2))

    def read_after(step: Callable[[], Any]) -> list[str]:
        """The findings of which the next state reads the rows."""
        step()
        with reading_findings(app) as read:
            state_of(api, protocol_id)
        return [each for each in (first["id"], second["id"]) if any(each in parameters for parameters in read)]

    assert len(state_of(api, protocol_id)["vulnerabilities"]["open"]) == 2
    body = report(protocol_id)
    assert read_after(lambda: api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)) == []
    assert read_after(lambda: deposit(api, protocol_id, "5")) == []
    confirm = f"/vulnerabilities/{second['id']}/confirm"
    assert read_after(lambda: api.validator.post(confirm, {}).expect(200)) == [second["id"]]


@pytest.mark.parametrize(("most", "characters"), [(3, 1_000), (100, 35)])
def test_a_bounded_list_of_findings_is_the_same_as_one_read_anew(
    api: Api, in_context: Flask, monkeypatch: pytest.MonkeyPatch, most: int, characters: int
) -> None:
    monkeypatch.setattr(queries, "MAX_OPEN_SHOWN", most)
    monkeypatch.setattr(queries, "MAX_OPEN_CHARACTERS", characters)
    protocol_id, cases = make_protocol(api), random.Random(SEED)
    open_ids, kept, lengths = [], queries.snapshot_section(protocol_id), set()
    for round_ in range(30):
        changed = set()
        for _ in range(cases.randint(1, 3)):
            if not open_ids or cases.random() < (0.7 if round_ < 15 else 0.2):
                text = "x" * cases.randint(1, 15)
                open_ids.append(file_vulnerability(api, protocol_id, description=text)["id"])
                changed.add(open_ids[-1])
            else:
                closed = open_ids.pop(cases.randrange(len(open_ids)))
                changed.add(closed)
                api.validator.post(f"/vulnerabilities/{closed}/reject", {"reason": "No."}).expect(200)
        db.session.rollback()
        kept = queries.snapshot_section(protocol_id, kept, changed)
        assert kept == queries.snapshot_section(protocol_id), f"round {round_}"
        lengths.add((len(kept.items), kept.is_truncated))

    assert {is_truncated for _, is_truncated in lengths} == {False, True}


def test_a_database_with_another_history_shows_its_own_findings(api: Api, app: Flask) -> None:
    """As after a restore: the same number of events, of which the newest is another one."""
    protocol_id = make_protocol(api)
    finding = file_vulnerability(api, protocol_id)["id"]
    state_of(api, protocol_id)
    with app.app_context(), transaction() as session:
        session.execute(update(OutboxEvent).values(created_at=utc_now() + timedelta(seconds=1)))
        session.execute(update(Vulnerability).where(Vulnerability.id == finding).values(title="Another one"))

    (shown,) = state_of(api, protocol_id)["vulnerabilities"]["open"]

    assert shown["title"] == "Another one"
