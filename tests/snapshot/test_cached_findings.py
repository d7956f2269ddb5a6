"""A state's findings are read once between two events of the protocol, and each of their changes shows at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from flask import Flask
from sqlalchemy import event, update

from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.realtime.outbox import OutboxEvent
from app.vulnerabilities.models import Vulnerability
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.snapshot.test_state import state_of
from tests.support.api import Api
from tests.support.money import funded_protocol, request_payment


@contextmanager
def reading_findings(app: Flask) -> Iterator[list[str]]:
    """The statements that read findings while the `with` lasts."""
    read: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM vulnerabilities" in statement:
            read.append(statement)

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


def test_findings_are_read_again_only_after_an_event(api: Api, app: Flask) -> None:
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    file_vulnerability(api, protocol_id)
    first = state_of(api, protocol_id)
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id)).expect(202)

    with reading_findings(app) as unchanged:
        second = state_of(api, protocol_id)
    deposit(api, protocol_id, "5")
    with reading_findings(app) as changed:
        state_of(api, protocol_id)

    assert second["vulnerabilities"] == first["vulnerabilities"]
    assert len(second["agents"]) == 1
    assert unchanged == []
    assert changed


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
