"""docs/bounds.md lists every table and every Redis key of a running system; rows past their retention are deleted."""

import re
from datetime import timedelta
from pathlib import Path

from flask import Flask
from sqlalchemy import func, select, update

from app.agents.models import AgentTask
from app.auth.issued_tokens import IssuedToken
from app.auth.revocation import RevokedToken
from app.core.database import transaction, utc_now
from app.core.extensions import Base, db
from app.factory import create_app  # noqa: F401 - its features define the tables
from app.http.idempotency import IdempotencyKey
from app.realtime import redis_keys
from app.realtime.outbox import OutboxEvent
from tasks import forget
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol, report, unique
from tests.support.api import Api
from tests.support.js_client import JsClient
from tests.support.processes import until
from tests.support.stack import Stack

PAGE = (Path(__file__).parents[2] / "docs/bounds.md").read_text(encoding="utf-8")


def section(title: str) -> list[str]:
    """The names in the first column of the table of a section."""
    text = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    first = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return re.findall(r"`([^`]+)`", " ".join(first))


def pattern(key: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w\\\}", ".+", re.escape(key)))


KEYS = [pattern(key) for key in section("Redis keys")]


def unlisted(keys: list[str]) -> list[str]:
    return sorted(key for key in keys if not any(each.fullmatch(key) for each in KEYS))


def test_every_table_is_listed_and_every_listed_one_exists(in_context: Flask) -> None:
    assert set(section("Tables")) == set(Base.metadata.tables)


def test_every_key_that_the_code_names_is_listed() -> None:
    named = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", redis_keys.__doc__ or "", re.MULTILINE)
    keys = [key for cell in named for key in re.findall(r"`([^`]+)`", cell)]

    assert len(keys) > 20
    assert unlisted(keys) == []


def test_every_key_of_a_running_system_is_listed(stack: Stack, js: JsClient) -> None:
    api, protocol_id, agent_id = stack.api, make_protocol(stack.api), make_agent(stack.api)
    token = api.token("viewer")
    watching = js.connect(stack.url, {"token": token, "protocolId": protocol_id, "agentBatches": True})
    deposit(api, protocol_id, "10.00")
    found = file_vulnerability(api, protocol_id, bounty="4.00")
    api.validator.post(f"/vulnerabilities/{found['id']}/confirm", {}).expect(200)
    api.owner.post(f"/vulnerabilities/{found['id']}/payment", {"recipient": "0xabc"}).expect(202)
    api.admin.post("/tokens/revoke", {"jti": unique("t"), "reason": "r"}).expect(201)
    for body in (report(protocol_id), report(protocol_id, status="COMPLETED"), report(protocol_id, "next")):
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", body).expect(202)
    watching.wait_for(lambda event: event.name == "payment:released" or event.payload is not None, 10, "something")
    watching.leave()

    with stack.redis() as client:
        until(lambda: client.exists("beat:tick"), 10, "beat ticks")
        keys = {key.decode() for _ in range(20) for key in client.scan_iter(count=1000)}

    assert len(keys) > 20
    assert unlisted(sorted(keys)) == []


def count(model: type[Base]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_rows_past_their_retention_are_deleted(api: Api, in_context: Flask) -> None:
    protocol_id, agents = make_protocol(api), [make_agent(api) for _ in range(30)]
    for number in range(3):
        updates = [report(protocol_id, f"t{number}", status="COMPLETED", agentId=each) for each in agents]
        api.admin.post("/progress", {"updates": updates}, Idempotency_Key=f"k{number}").expect(202)
        api.admin.post("/tokens/revoke", {"jti": f"j{number}", "reason": "r"}).expect(201)
        claims = {"sub": "owner-1", "role": "owner", "protocols": [protocol_id], "ttl": 60}
        api.admin.post("/tokens", claims).expect(201)
    old = utc_now() - timedelta(days=500)
    ages = {
        IdempotencyKey: {"created_at": old},
        OutboxEvent: {"published_at": old},
        AgentTask: {"closed_at": old},
        RevokedToken: {"expires_at": old},
        IssuedToken: {"expires_at": old},
    }
    assert [count(model) for model in ages] == [3, 90, 90, 3, 3]
    with transaction() as session:
        for model, columns in ages.items():
            session.execute(update(model).values(**columns))

    forget()

    assert [count(model) for model in ages] == [0, 0, 0, 0, 0]
