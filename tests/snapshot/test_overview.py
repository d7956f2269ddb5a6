"""The overview: the reader's protocols, those that need attention first."""

import pytest
from sqlalchemy import event, insert

from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.core.redis_connection import RedisHealth
from app.protocols.models import Pool, Protocol
from app.realtime import emitter
from app.realtime.outbox import EventCounter
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report
from tests.support.api import Api
from tests.support.money import SECRET, Reply, confirmed, funded_protocol, payout_service, pool, request_payment, settle

NOTHING = {"pending": "0", "confirmed": "0", "criticalOpen": "0"}


def overview(caller, query: str = "") -> list[dict]:
    return caller.get(f"/overview{query}").expect(200)["items"]


def order_of(api: Api, protocol_ids: list[str], limit: int) -> list[str]:
    """All protocols, read with pages of `limit`."""
    caller, ids, cursor = api.as_("viewer", protocols=protocol_ids), [], ""
    while cursor is not None:
        page = caller.get(f"/overview?limit={limit}&cursor={cursor}").expect(200)
        ids, cursor = ids + [each["protocolId"] for each in page["items"]], page["nextCursor"]
    return ids


def test_each_kind_of_need_is_counted_and_ranks_above_the_next(app_with) -> None:
    with payout_service() as service:
        api = app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET)
        calm, unpaid, pending, critical, failed = (funded_protocol(api) for _ in range(5))
        confirmed(api, unpaid)
        request_payment(api, confirmed(api, unpaid))
        file_vulnerability(api, pending)
        for _ in range(2):
            file_vulnerability(api, critical, severity="CRITICAL")
        service.replies = [Reply(status=422, body=b"{}")]
        settle(api.transport.client.application, request_payment(api, confirmed(api, failed))["id"])
        rejected = file_vulnerability(api, calm, severity="CRITICAL")["id"]
        api.validator.post(f"/vulnerabilities/{rejected}/reject", {"reason": "no"}).expect(200)
        ids = [calm, unpaid, pending, critical, failed]

        items = {each["protocolId"]: each for each in overview(api.as_("viewer", protocols=ids))}
        orders = [order_of(api, ids, limit) for limit in (1, 2, 200)]

        assert orders == [[failed, critical, pending, unpaid, calm]] * 3
        assert list(items) == orders[0]
        assert items[calm]["vulnerabilities"] == NOTHING
        assert items[unpaid]["vulnerabilities"] == NOTHING | {"confirmed": "2"}
        assert items[unpaid]["payments"] == {"pending": "1", "failed": "0"}
        assert items[pending]["vulnerabilities"] == NOTHING | {"pending": "1"}
        assert items[critical]["vulnerabilities"] == {"pending": "2", "confirmed": "0", "criticalOpen": "2"}
        assert items[failed]["payments"] == {"pending": "0", "failed": "1"}
        assert items[failed]["pool"] == pool(api, failed)


def test_it_tells_agents_seq_and_the_last_event_of_each_room(api: Api, app) -> None:
    quiet, busy = make_protocol(api), make_protocol(api)
    agent_id = make_agent(api)
    before = utc_now()
    deposit(api, busy, "1.00")
    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(busy)).expect(202)
    with app.app_context():
        emitter.tick()

    items = {each["protocolId"]: each for each in overview(api.as_("viewer", protocols=[quiet, busy]))}

    assert (items[quiet]["seq"], items[quiet]["lastEventAt"]) == ("0", None)
    assert items[quiet]["agents"] == {"online": "0", "busy": "0"}
    assert items[busy]["agents"] == {"online": "1", "busy": "1"}
    assert items[busy]["seq"] == api.viewer.get(f"/protocols/{busy}/state").expect(200)["seq"] == "2"
    assert before.isoformat()[:16] <= items[busy]["lastEventAt"][:16] <= utc_now().isoformat()[:16]


def test_a_reader_sees_exactly_what_the_token_grants(api: Api) -> None:
    mine, other = make_protocol(api), make_protocol(api)

    def seen(role="viewer", **claims):
        return {each["protocolId"] for each in overview(api.as_(role, **claims))}

    assert seen(protocols=[mine]) == {mine}
    assert seen(protocols=[]) == seen(protocols=["never-made"]) == set()
    assert seen(protocols=["*"]) == seen("admin", protocols=[]) == {mine, other}
    assert seen("agent", protocols=[mine, other]) == {mine, other}


def test_an_unchanged_page_is_304_and_a_change_is_seen_at_once(api: Api) -> None:
    protocol_id = make_protocol(api)
    caller = api.as_("viewer", protocols=[protocol_id])
    tag = caller.get("/overview").headers["etag"]

    unchanged = caller.get("/overview", If_None_Match=tag)
    file_vulnerability(api, protocol_id)
    changed = caller.get("/overview", If_None_Match=tag)

    assert (unchanged.status, unchanged.body) == (304, b"")
    assert changed.expect(200)["items"][0]["vulnerabilities"]["pending"] == "1"
    assert caller.get("/overview?cursor=WyJ4Il0").status == 422


def test_three_thousand_protocols_cost_a_fixed_number_of_statements(api: Api, in_context) -> None:
    rows = [{"id": f"big-{at:05d}", "name": "n", "currency": "USDC", "created_at": utc_now()} for at in range(3000)]
    zeros = {"total_minor": 0, "reserved_minor": 0, "paid_minor": 0, "version": 0, "currency": "USDC"}
    with transaction() as session:
        session.execute(insert(Protocol), rows)
        session.execute(insert(Pool), [zeros | {"protocol_id": each["id"]} for each in rows])
        session.execute(insert(EventCounter), [{"protocol_id": each["id"], "position": 0} for each in rows])
    file_vulnerability(api, "big-02999")
    statements: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement))

    first = api.viewer.get("/overview?limit=2").expect(200)
    second = api.viewer.get(f"/overview?limit=200&cursor={first['nextCursor']}").expect(200)

    assert [each["protocolId"] for each in first["items"]] == ["big-02999", "big-00000"]
    assert [each["protocolId"] for each in second["items"]] == [f"big-{at:05d}" for at in range(1, 201)]
    assert len([each for each in statements if each.startswith("SELECT")]) <= 2 * 7


@pytest.mark.database("sqlite")
def test_without_redis_it_is_unavailable_rather_than_wrong(app_with) -> None:
    api = app_with(REDIS_URL="redis://127.0.0.1:1/0")

    assert api.viewer.get("/overview").status == 503


@pytest.mark.database("sqlite")
def test_a_redis_that_hangs_is_not_waited_for_with_every_retry(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    make_protocol(api)
    assert api.viewer.get("/overview").status == 200
    monkeypatch.setattr(RedisHealth, "is_available", lambda _: False)

    answer = api.viewer.get("/overview")

    assert (answer.status, answer.code) == (503, "REDIS_UNAVAILABLE")
