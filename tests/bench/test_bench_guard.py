"""The costs that the program was built around stay in proportion: ratios of CPU time, with a generous margin."""

import json
import secrets

import jwt
import pytest
import redis

from app.audit.service import AuditEntry
from app.auth.tokens import TokenVerifier
from app.core.database import transaction, utc_now
from app.http.idempotency import IdempotencyKey
from app.protocols.models import LedgerEntry
from app.realtime import limiter
from app.realtime.outbox import OutboxEvent
from app.realtime.redis_keys import all_keys
from app.snapshot import service as snapshot
from bench import database_rows, guard
from tests.factories import deposit, make_agent, make_protocol
from tests.support import databases
from tests.support.api import mint
from tests.support.redis_clock import age_memory

pytestmark = pytest.mark.alone

AGENTS, ROOMS = 5_000, 500
REPORTS = 60
DEPOSITS = 30
OTHER_ORIGIN = {"HTTP_ORIGIN": "https://elsewhere.example"}  # sends a report the long way round


@pytest.fixture
def environment(tmp_path, sqlite_url, redis_url):
    """One kind of database, none of these costs depends on it; no limit on requests."""
    limits = {"DASHBOARD_REST_PER_TOKEN": "1000000", "DASHBOARD_REST_PER_ADDRESS": "1000000"}
    key = secrets.token_hex(32)
    return databases.environment(home=tmp_path, database_url=sqlite_url, redis_url=redis_url, signing_key=key, **limits)


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url, protocol=2) as opened:
        yield opened


@pytest.fixture
def send(app, api):
    """`send(count, **environ)`: so many progress reports of one agent."""
    token, agent = api.token("admin"), make_agent(api)
    body = {"protocolId": make_protocol(api), "task": "Scan", "progress": 5}
    path = f"/api/v1/agents/{agent}/progress"

    def repeat(count, **more):
        for _ in range(count):
            assert guard.post(app.wsgi_app, path, token, body, **more) == "202 ACCEPTED"

    repeat(20)
    repeat(20, **OTHER_ORIGIN)
    return repeat


def empty(client):
    client.flushdb()
    age_memory(client)


def batch_of(api, size):
    agents, protocol_id = [make_agent(api) for _ in range(size)], make_protocol(api)
    return {"updates": [{"agentId": a, "protocolId": protocol_id, "task": "Scan", "progress": 5} for a in agents]}


def test_a_fast_path_report_costs_at_most_two_fifths_of_one_through_flask(send):
    assert guard.ratio(lambda: send(REPORTS), lambda: send(REPORTS, **OTHER_ORIGIN)) < 0.4


def test_an_update_in_a_batch_costs_at_most_a_quarter_of_a_single_one(app, api, send):
    body, token = batch_of(api, 50), api.token("admin")

    def send_batches():
        for _ in range(4):
            assert guard.post(app.wsgi_app, "/api/v1/progress", token, body) == "202 ACCEPTED"

    send_batches()
    assert guard.ratio(send_batches, lambda: send(200)) < 0.25


def store_rows(protocol_ids):
    """A deposit's rows written as objects: about what a deposit would cost if it went through the unit of work."""
    for protocol_id in protocol_ids:
        unique, now = secrets.token_hex(16), utc_now()
        totals = {"total_minor": 1, "reserved_minor": 0, "paid_minor": 0, "version": secrets.randbits(40)}
        event = {"event_type": "e", "data_json": "{}", "request_id": "", "created_at": now}
        with transaction() as session:
            key = {"subject": "s", "key": unique, "fingerprint": "", "status": 201, "body": ""}
            session.add(IdempotencyKey(**key, created_at=now))
            entry = {"change_type": "DEPOSIT", "amount_minor": 1, "actor": "a", "created_at": now}
            session.add(LedgerEntry(id=unique, protocol_id=protocol_id, **entry, **totals))
            session.add(OutboxEvent(protocol_id=protocol_id, position=-totals["version"], published_at=now, **event))
            who = {"subject": "s", "role": "owner", "request_id": ""}
            session.add(AuditEntry(at=now, action="DEPOSIT", target_id=unique, **who))


def test_a_deposit_costs_at_most_five_and_a_half_times_its_rows_as_objects(app, api, in_context):
    """With its idempotency key, ledger, audit, event and mark, in rooms that are within their budget."""
    protocol_ids, token = [make_protocol(api) for _ in range(DEPOSITS)], api.token("owner")

    def deposit():
        for protocol_id in protocol_ids:
            path, key = f"/api/v1/protocols/{protocol_id}/deposits", {"HTTP_IDEMPOTENCY_KEY": secrets.token_hex(16)}
            assert guard.post(app.wsgi_app, path, token, {"amount": "1.00"}, **key) == "201 CREATED"

    deposit()
    store_rows(protocol_ids)
    assert guard.ratio(deposit, lambda: store_rows(protocol_ids)) < 5.5


@pytest.fixture
def big_state(app, api):
    """`big_state()`: the state of a protocol with a thousand agents and ten thousand findings."""
    protocol_id = make_protocol(api)
    with app.app_context():
        findings = (database_rows.vulnerability(protocol_id, number) for number in range(10_000))
        database_rows.add(database_rows.Vulnerability, findings)
        agents = [database_rows.agent(number, protocol_id) for number in range(1_000)]
        database_rows.add(database_rows.Agent, agents)
    common = {"protocolId": protocol_id, "task": "Scan", "progress": 5}
    for first in range(0, 1_000, 500):
        updates = [common | {"agentId": each["id"]} for each in agents[first : first + 500]]
        api.admin.post("/progress", {"updates": updates}).expect(202)
    deposit(api, protocol_id, "1")

    def read():
        with app.app_context():
            body, _ = snapshot.render(protocol_id, batches=False)
        return body.plain

    return read


def test_a_big_state_costs_at_most_twelve_times_what_reading_its_json_does(app, api, big_state):
    """Made whole; made after nothing; made after a deposit, when agents and findings are kept."""
    text = big_state()
    protocol_id = json.loads(text)["protocol"]["id"]
    kept = app.extensions["snapshots"]

    def after_an_event():
        kept.clear()
        big_state()

    assert len(json.loads(text)["agents"]) == 1_000
    assert guard.ratio(after_an_event, lambda: json.loads(text)) < 12
    assert guard.ratio(big_state, lambda: json.loads(text)) < 4
    assert guard.ratio(big_state, lambda: json.loads(text), prepare=lambda: deposit(api, protocol_id, "1")) < 2


def test_an_unchanged_big_state_is_recognized_in_less_time_than_its_json_is_read(app, big_state):
    text = big_state()
    protocol_id = json.loads(text)["protocol"]["id"]

    def recognize():
        with app.app_context():
            assert snapshot.known_tag(protocol_id, batches=False)

    assert guard.ratio(recognize, lambda: json.loads(text)) < 1


def test_verifying_a_token_costs_hardly_more_than_decoding_it(app, settings):
    tokens_of_many = [mint(settings.signing_key, "viewer", sub=f"client-{number}") for number in range(1_000)]
    verifier = TokenVerifier(settings)

    def verify():
        verifier._cache.clear()
        for token in tokens_of_many:
            verifier.verify(token)

    def decode():
        for token in tokens_of_many:
            jwt.decode(token, settings.signing_key, algorithms=["HS256"])

    assert guard.ratio(verify, decode) < 2.2


def test_a_flush_costs_redis_at_most_sixteen_times_the_bare_publishes(in_context, client):
    def prepare():
        empty(client)
        guard.fill(AGENTS, ROOMS)

    def flush():
        assert sum(limiter.drain().emitted.values()) == AGENTS

    assert guard.redis_ratio(client, prepare, flush, lambda: guard.bare_publishes(client, AGENTS)) < 16


def test_the_worker_spends_less_on_a_flush_than_redis_does(in_context, client):
    empty(client)
    guard.fill(AGENTS, ROOMS)
    worker = guard.spent(lambda: guard.cpu_of_redis(client, limiter.drain))
    empty(client)
    guard.fill(AGENTS, ROOMS)
    assert worker < guard.cpu_of_redis(client, limiter.drain)


def test_quiet_rooms_cost_a_flush_nothing(in_context, client):
    """Without rooms before and after, since the machine's speed may change meanwhile."""

    def least():
        return min(guard.cpu_of_redis(client, flushes) for _ in range(5))

    def flushes():
        for _ in range(100):
            limiter.drain()

    empty(client)
    before = least()
    guard.fill(AGENTS, ROOMS)
    limiter.drain()
    assert sum(client.zcard(key) for key in all_keys("due")) == 0
    many = least()
    empty(client)
    assert many < 2 * max(before, least())
