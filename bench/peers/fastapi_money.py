"""The same deposit with FastAPI and SQLAlchemy: `python fastapi_money.py DATABASE_URL REDIS_PORT KEY` prints its port.

One transaction: idempotency key, pool, ledger entry, event counter, outbox, audit log. After the commit the event is
published (one plain PUBLISH, no limiter) and marked. Sync endpoints and sessions, as in FastAPI's own tutorial.
"""

import json
import socket
import sys
import threading
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated

import jwt
import redis
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, MetaData, create_engine, event, insert, select, update
from sqlalchemy.exc import IntegrityError

URL, REDIS, KEY = sys.argv[1], redis.Redis(port=int(sys.argv[2]), protocol=2), sys.argv[3]
IS_SQLITE = URL.startswith("sqlite")
write_lock = threading.Lock()
engine = create_engine(URL, pool_size=20) if not IS_SQLITE else create_engine(URL, connect_args={"timeout": 10})
if IS_SQLITE:

    @event.listens_for(engine, "connect")
    def prepare(connection, _record):
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


schema = MetaData()
schema.reflect(engine)
pools, entries, counters, outbox, audit, keys = (
    schema.tables[name]
    for name in (
        "bounty_pools", "bounty_entries", "event_counters", "outbox_events", "audit_entries", "idempotency_keys",
    )
)  # fmt: skip
app = FastAPI(openapi_url=None)
verified: dict[str, dict] = {}


class Deposit(BaseModel):
    model_config = ConfigDict(extra="forbid")
    amount: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$")]
    reference: Annotated[str, Field(min_length=1, max_length=200)] | None = None


def caller(authorization: Annotated[str, Header()] = "") -> dict:
    token = authorization.removeprefix("Bearer ")
    claims = verified.get(token)
    if claims is None:
        try:
            claims = verified[token] = jwt.decode(token, KEY, algorithms=["HS256"])
        except jwt.PyJWTError as error:
            raise HTTPException(401) from error
    return claims


def money(minor: int) -> str:
    return f"{Decimal(minor) / 1_000_000:.2f}"


@app.post("/api/v1/protocols/{protocol_id}/deposits", status_code=201)
def deposit(
    protocol_id: str,
    body: Deposit,
    request: Request,
    claims: Annotated[dict, Depends(caller)],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    if claims["role"] not in ("owner", "admin"):
        raise HTTPException(403)
    fingerprint = sha256(f"{request.url.path}\n{body.model_dump_json()}".encode()).hexdigest()
    key = {"subject": claims["sub"], "key": idempotency_key, "fingerprint": fingerprint}
    order = {"protocol_id": protocol_id, "amount": int(Decimal(body.amount) * 1_000_000), "now": datetime.now(UTC)}
    order |= {"reference": body.reference, "claims": claims, "address": request.client.host}
    with write_lock if IS_SQLITE else nullcontext():
        return stored(key, order)


def stored(key: dict, order: dict) -> Response:
    is_its = (keys.c.subject == key["subject"]) & (keys.c.key == key["key"])
    try:
        with engine.begin() as connection:
            connection.execute(insert(keys).values(**key, status=201, body="", created_at=order["now"]))
            answer, data, event_id = change(connection, order)
            text = json.dumps(answer)
            connection.execute(update(keys).where(is_its).values(body=text))
    except IntegrityError as error:
        with engine.connect() as connection:
            row = connection.execute(select(keys).where(is_its)).one()
        if row.fingerprint != key["fingerprint"]:
            raise HTTPException(409) from error
        return Response(row.body, 201, {"Idempotent-Replayed": "true"}, "application/json")
    REDIS.publish(f"room:{order['protocol_id']}", data)
    with engine.begin() as connection:
        connection.execute(update(outbox).where(outbox.c.id == event_id).values(published_at=datetime.now(UTC)))
    return Response(text, 201, media_type="application/json")


def change(connection: Connection, order: dict) -> tuple[dict, str, int]:
    protocol_id, minor, now, claims = order["protocol_id"], order["amount"], order["now"], order["claims"]
    changed = update(pools).where(pools.c.protocol_id == protocol_id, pools.c.total_minor + minor < 10**18)
    changed = changed.values(total_minor=pools.c.total_minor + minor, version=pools.c.version + 1).returning(pools)
    pool = connection.execute(changed).one_or_none()
    if pool is None:
        raise HTTPException(404)
    totals = {"total_minor": pool.total_minor, "reserved_minor": pool.reserved_minor, "paid_minor": pool.paid_minor}
    entry_id = str(uuid.uuid4())
    entry = {"id": entry_id, "protocol_id": protocol_id, "version": pool.version, "change_type": "DEPOSIT"}
    entry |= {
        "amount_minor": minor,
        "reference": order["reference"],
        "actor": claims["sub"],
        "created_at": now,
        **totals,
    }
    connection.execute(insert(entries).values(**entry))
    shown = {name.removesuffix("_minor"): money(value) for name, value in totals.items()}
    shown |= {
        "available": money(pool.total_minor - pool.reserved_minor - pool.paid_minor),
        "version": str(pool.version),
    }
    data = json.dumps(shown | {"changeType": "DEPOSIT", "amount": money(minor), "reference": order["reference"]})
    position = update(counters).where(counters.c.protocol_id == protocol_id).values(position=counters.c.position + 1)
    at = connection.execute(position.returning(counters.c.position)).scalar_one()
    row = {"protocol_id": protocol_id, "position": at, "event_type": "bounty_pool:updated", "data_json": data}
    event_id = connection.execute(
        insert(outbox).values(**row, request_id="bench", created_at=now).returning(outbox.c.id)
    ).scalar_one()
    by = {"subject": claims["sub"], "role": claims["role"], "token_id": claims["jti"], "request_id": "bench"}
    what = {"action": "DEPOSIT", "protocol_id": protocol_id, "target_id": entry_id, "at": now}
    values = {"before": {"version": str(pool.version - 1)}, "after": shown, "address": order["address"]}
    connection.execute(insert(audit).values(**by, **what, **values))
    common = {"protocolId": protocol_id, **shown}
    shown_entry = common | {"id": entry_id, "changeType": "DEPOSIT", "amount": money(minor), "actor": claims["sub"]}
    shown_entry |= {"reference": order["reference"], "createdAt": now.isoformat(timespec="milliseconds")}
    return {"entry": shown_entry, "pool": common | {"currency": pool.currency}}, data, event_id


listener = socket.create_server(("127.0.0.1", 0), backlog=512)
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, access_log=False, log_level="warning", loop="uvloop", http="httptools")
uvicorn.Server(config).run(sockets=[listener])
