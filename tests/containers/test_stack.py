"""`docker compose up` on a fresh machine starts a system that behaves like the embedded one."""

import pytest

from tests.containers import flows
from tests.containers.compose import Compose
from tests.factories import deposit, make_agent, make_protocol, report
from tests.security.raw_http import exchange, request
from tests.support.api import OverHttp
from tests.support.event_stream import StreamReader
from tests.support.js_client import JsClient
from tests.support.processes import until

PARTS = {"proxy", "web", "sockets", "worker", "worker-payments", "worker-webhooks", "beat", "postgres", "valkey"}
OURS = ("web", "sockets", "worker", "worker-payments", "worker-webhooks", "beat")


def test_up_ends_with_every_container_healthy(compose: Compose) -> None:
    services = compose.services()

    assert set(services) == PARTS
    assert {health for healths in services.values() for health in healths} == {"healthy"}


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_report_reaches_a_browser_through_the_proxy(compose: Compose, js: JsClient, transport: str) -> None:
    api = compose.api
    protocol_id, agent_id = make_protocol(api), make_agent(api)
    browser = flows.watch(compose, js, protocol_id, transports=[transport])

    api.agent(agent_id).post(f"/agents/{agent_id}/progress", report(protocol_id, progress=65)).expect(202)

    event = browser.wait_for_event("agent:task_update", agentId=agent_id)
    assert event.data["progress"] == "65"


def test_an_event_stream_passes_the_proxy_at_once_and_its_ticket_is_not_logged(compose: Compose) -> None:
    protocol_id = make_protocol(compose.api)
    ticket = compose.api.viewer.post(f"/protocols/{protocol_id}/stream-tickets").expect(201)["ticket"]
    with StreamReader(compose.port, protocol_id, query=f"?ticket={ticket}") as stream:
        assert stream.next().name == "state"
        deposit(compose.api, protocol_id, "5.00")
        assert stream.next().name == "bounty_pool:updated"
        assert stream.comments == 0, "it was held back"
    # The proxy logs a stream when it ends, up to 20 s after its reader is gone; a refusal at once.
    assert compose.api.with_token(None).get(f"/protocols/{protocol_id}/events?ticket={ticket}").status == 401
    logged = until(
        lambda: [line for line in compose.logs("proxy").splitlines() if "/events " in line], 10, "it is logged"
    )
    assert not any(ticket in line for line in logged)


def test_ten_polling_clients_keep_their_sessions(compose: Compose, js: JsClient) -> None:
    protocol_id = make_protocol(compose.api)
    browsers = [flows.watch(compose, js, protocol_id, transports=["polling"]) for _ in range(10)]

    deposit(compose.api, protocol_id, "5.00")

    for browser in browsers:
        browser.wait_for_event("bounty_pool:updated", changeType="DEPOSIT")


def test_a_polling_client_upgrades_to_websocket(compose: Compose, js: JsClient) -> None:
    protocol_id = make_protocol(compose.api)
    browser = flows.watch(compose, js, protocol_id, transports=["polling", "websocket"])

    js.wait(lambda: browser.state["transport"] == "websocket", 10, "the connection is upgraded")
    deposit(compose.api, protocol_id, "5.00")

    browser.wait_for_event("bounty_pool:updated", changeType="DEPOSIT")


def test_a_deposit_a_reservation_and_a_payment_reach_the_room_in_order(compose: Compose, js: JsClient) -> None:
    protocol_id = make_protocol(compose.api)
    browser = flows.watch(compose, js, protocol_id)
    deposit(compose.api, protocol_id, "1000.00")

    flows.until_released(compose.api, flows.pay(compose.api, protocol_id, "400.00"))

    browser.wait_for_event("vuln:status_changed", newStatus="PAID")
    changes = [
        (event.name.partition(":")[0], event.data.get("changeType") or event.data.get("newStatus") or "PENDING")
        for event in browser.events()
    ]
    assert changes == [
        ("bounty_pool", "DEPOSIT"), ("vuln", "PENDING"), ("bounty_pool", "RESERVATION"), ("vuln", "CONFIRMED"),
        ("payment", "PENDING"), ("bounty_pool", "PAYMENT_RELEASED"), ("payment", "RELEASED"), ("vuln", "PAID"),
    ]  # fmt: skip
    pool = compose.api.viewer.get(f"/protocols/{protocol_id}/pool").expect(200)
    assert (pool["total"], pool["available"], pool["reserved"], pool["paid"]) == (
        "1000.00",
        "600.00",
        "0.00",
        "400.00",
    )


def test_an_operator_gets_a_token_from_a_container(compose: Compose) -> None:
    token = compose.token("--role", "admin", "--protocol", "*")

    compose.api.with_token(token).get("/protocols").expect(200)


@pytest.mark.parametrize("service", OURS)
def test_containers_run_unprivileged_on_a_read_only_root(compose: Compose, service: str) -> None:
    answer = compose.exec(service, "sh", "-c", "id -u; touch /srv/dashboard/x || echo refused")

    assert answer.split()[0] == "10001"
    assert answer.split()[-1] == "refused"


def test_the_proxy_cannot_reach_the_database_or_redis(compose: Compose) -> None:
    networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"

    def networks_of(service: str) -> set[str]:
        return set(compose.docker("inspect", "--format", networks, compose.containers(service)[0]).split())

    assert not networks_of("proxy") & (networks_of("postgres") | networks_of("valkey"))
    assert networks_of("postgres") == networks_of("valkey") == {"dashboard-test_inside"}


@pytest.mark.parametrize(
    "target", ["/metrics", "//metrics", "/%6detrics", "/x/../metrics", "//socket.io/", "/healthz/."]
)
def test_the_proxy_responds_404_to_metrics_and_to_non_canonical_paths(compose: Compose, target: str) -> None:
    reply = exchange(compose.port, request(target))

    assert (reply.status, reply.problem["code"]) == (404, "NOT_FOUND")


def test_metrics_are_available_inside_the_network(compose: Compose) -> None:
    ask = "import urllib.request as u; print(u.urlopen('http://web:5000/metrics', timeout=5).status)"

    assert compose.exec("worker", "python", "-c", ask) == "200"


def test_only_workers_of_payments_and_webhooks_have_outbound_access_and_only_payments_the_secret(
    compose: Compose,
) -> None:
    networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    look = "test -r /run/secrets/payout/payout_secret && echo readable || echo none"
    seen = {}
    for service in OURS:
        names = compose.docker("inspect", "--format", networks, compose.containers(service)[0]).split()
        internal = compose.docker("network", "inspect", "--format", "{{.Internal}}", *names).split()
        seen[service] = (set(internal), compose.exec(service, "sh", "-c", look))

    assert seen.pop("worker-payments") == ({"true", "false"}, "readable")
    assert seen.pop("worker-webhooks") == ({"true", "false"}, "none")
    assert set(seen) == {"web", "sockets", "worker", "beat"}
    assert all(found == ({"true"}, "none") for found in seen.values()), seen


def test_the_applications_role_cannot_change_the_ledger(compose: Compose) -> None:
    deposit(compose.api, make_protocol(compose.api), "5.00")
    psql = ("postgres", "psql", "--username=dashboard", "--tuples-only", "--no-align", "dashboard", "-c")

    users = "SELECT DISTINCT usename FROM pg_stat_activity WHERE client_addr IS NOT NULL"
    assert compose.exec(*psql, users) == "dashboard_app"
    rights = "SELECT string_agg(DISTINCT privilege_type, ',') FROM information_schema.table_privileges WHERE grantee = "
    assert compose.exec(*psql, f"{rights}'dashboard_app' AND table_name = 'bounty_entries'") == "INSERT,SELECT"


def test_no_secret_is_an_environment_variable_or_an_argument(compose: Compose) -> None:
    secret = compose.exec("web", "cat", "/run/secrets/app/redis_url").split(":")[2].split("@")[0]

    for service in ("web", "worker", "valkey", "postgres"):
        inspected = compose.docker("inspect", compose.containers(service)[0])
        assert secret not in inspected


def test_a_body_over_one_mebibyte_is_rejected_with_a_problem_of_the_app(compose: Compose) -> None:
    answer = compose.api.admin.post("/protocols", b'"' + b"x" * (1024 * 1024) + b'"')

    assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")
    assert answer.json["requestId"] == answer.headers["x-request-id"]


def test_a_request_id_is_the_same_for_caller_and_log(compose: Compose) -> None:
    answer = OverHttp(compose.url).send("GET", "/api/v1/protocols", None, {"X-Request-Id": "from-the-caller-1"})

    assert answer.headers["x-request-id"] == "from-the-caller-1"
