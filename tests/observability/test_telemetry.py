"""Traces reach an OpenTelemetry collector: whole, with the request's id, and with nothing that a caller sent."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.factories import deposit, file_vulnerability, make_protocol
from tests.observability.test_crash_reports import spoil
from tests.support.api import Api, OverHttp
from tests.support.collector import PROJECT, Collector, Span, collecting
from tests.support.machine_speed import patience, slowdown
from tests.support.processes import free_port, is_open, stop, until
from tests.support.stack import ROOT, Stack

pytestmark = pytest.mark.database("sqlite")

SERVER, CONSUMER = 2, 5
AMOUNT, RECIPIENT, REFERENCE = "7331.77", "0xrecipient-of-it", "reference-of-it"
KEY_OF_COLLECTOR = "key-of-the-collector"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system that is traced; shared until the test that stops it."""
    settings = {
        "SENTRY_DSN": collector.dsn,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={KEY_OF_COLLECTOR}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "DASHBOARD_LOG_FORMAT": "json",
    }
    with Stack(tmp_path_factory.mktemp("traced"), **settings) as system:
        yield system


def trace_of(collector: Collector, request_id: str, *names: str) -> list[Span]:
    """The spans of the trace that this request began, when those of these names are among them."""

    def found() -> list[Span]:
        spans = collector.spans()
        roots = [s for s in spans if s.kind == SERVER and s.attributes.get("dashboard.request_id") == request_id]
        whole = [s for s in spans if roots and s.trace_id == roots[0].trace_id]
        return whole if set(names) <= {s.name for s in whole} else []

    return until(found, 20, f"the trace of {request_id} arrives with {names}")


def pay(stack: Stack, request_id: str) -> str:
    """Have a payment made in a new protocol; returns the protocol's id."""
    protocol_id = make_protocol(stack.api)
    deposit(stack.api, protocol_id, AMOUNT, reference=REFERENCE)
    vulnerability = file_vulnerability(stack.api, protocol_id, bounty=AMOUNT)
    stack.api.validator.post(f"/vulnerabilities/{vulnerability['id']}/confirm", {}).expect(200)
    body = {"recipient": RECIPIENT}
    stack.api.owner.post(f"/vulnerabilities/{vulnerability['id']}/payment", body, X_Request_Id=request_id).expect(202)
    return protocol_id


def test_a_deposits_trace_holds_its_request_and_its_statements(traced: Stack, collector: Collector) -> None:
    protocol_id, name = make_protocol(traced.api), "this-very-deposit"
    traced.api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": AMOUNT}, X_Request_Id=name).expect(201)

    route = "/api/v1/protocols/<string:protocol_id>/deposits"
    spans = trace_of(collector, name, f"POST {route}", "INSERT", "UPDATE")

    root = next(span for span in spans if span.kind == SERVER)
    assert (root.attributes["http.route"], root.attributes["http.response.status_code"]) == (route, 201)
    assert root.parent_id == ""
    statements = [span for span in spans if "db.query.text" in span.attributes]
    assert {span.attributes["dashboard.request_id"] for span in statements} == {name}
    assert any("INSERT INTO outbox_events" in span.attributes["db.query.text"] for span in statements)
    assert ("event.relayed", {"dashboard.request_id": name, "eventType": "bounty_pool:updated"}) in root.events
    assert {span.service for span in spans} == {"dashboard-realtime"}


def test_a_payments_job_goes_on_in_the_trace_of_its_request(traced: Stack, collector: Collector) -> None:
    name = "this-very-payment"
    pay(traced, name)

    spans = trace_of(collector, name, "run tasks.payments.settle")

    job = next(span for span in spans if span.kind == CONSUMER)
    assert job.attributes["dashboard.request_id"] == name
    assert job.parent_id in {span.span_id for span in spans}
    within = [span for span in spans if span.parent_id == job.span_id]
    assert any("db.query.text" in span.attributes for span in within)
    told = [event for event, attributes in job.events if attributes.get("dashboard.request_id") == name]
    assert {"payment.released", "event.relayed"} <= set(told)


def test_the_log_of_every_process_names_the_request_and_the_trace(traced: Stack, collector: Collector) -> None:
    name = "logged-payment"
    pay(traced, name)
    spans = trace_of(collector, name, "run tasks.payments.settle")

    def told() -> set[tuple[str, str, str]]:
        """What the lines say; the log's last one may be half written."""
        lines = [line.partition(" | ")[2] for line in traced.log_lines(name, "traceId")]
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return {(line["message"], line.get("eventType", ""), line["traceId"]) for line in found}

    said = {
        ("payment.released", ""),
        ("event.relayed", "bounty_pool:updated"),
        ("event.relayed", "vuln:status_changed"),
    }
    wanted = {(*each, spans[0].trace_id) for each in said}
    until(lambda: wanted <= told(), 20, "the release and both its events are logged with request and trace")


def test_traces_contain_nothing_that_a_caller_sent(traced: Stack, collector: Collector) -> None:
    token = traced.api.token("owner")
    caller = traced.api.with_token(token)
    protocol_id = pay(traced, "discreet-payment")
    caller.get(f"/protocols/{protocol_id}/payments?limit=13", User_Agent="agent-of-the-caller").expect(200)
    caller.post(f"/protocols/{protocol_id}/deposits", b'{"amount": "not-an-amount"}').expect(422)
    trace_of(collector, "discreet-payment", "run tasks.payments.settle")

    sent = collector.everything

    assert b"http.route" in sent
    for secret in (AMOUNT, "7331770000", RECIPIENT, REFERENCE, token, "Bearer", "limit=13", "agent-of-the-caller"):
        assert secret.encode() not in sent, secret
    assert b"not-an-amount" not in sent
    assert KEY_OF_COLLECTOR in str([headers for _, headers, _ in collector.received])
    assert KEY_OF_COLLECTOR not in traced.log


def test_ticks_and_health_checks_create_no_traces(traced: Stack, collector: Collector) -> None:
    traced.api.with_token(None).get("//readyz").expect(200)
    traced.api.with_token(None).get("//metrics")
    pay(traced, "after-the-probes")
    trace_of(collector, "after-the-probes", "run tasks.payments.settle")

    roots = [span for span in collector.spans() if not span.parent_id]

    assert {span.kind for span in roots} == {SERVER}
    assert not [span.name for span in collector.spans() if "readyz" in span.name or "flush" in span.name]


def test_a_collector_that_hangs_delays_neither_requests_nor_shutdown(traced: Stack, collector: Collector) -> None:
    port = free_port()
    web = traced.run_part("web", "--port", str(port))
    until(lambda: is_open(port), 60, "another web listens")
    collector.answers, taken = False, len(collector.received)
    pay(traced, "never-taken")
    broken = make_protocol(traced.api)
    spoil(traced, "protocols", broken)
    here = Api(OverHttp(f"http://127.0.0.1:{port}"), traced.signing_key)
    for caller in (traced.api.viewer, here.viewer):  # both have traces and a report that nobody takes
        assert caller.get(f"/protocols/{broken}").status == 500
    asked = {"/v1/traces", f"/api/{PROJECT}/envelope/"}
    until(lambda: {path for path, *_ in collector.received[taken:]} == asked, 20, "both are asked")

    times = []
    for _ in range(30):
        started = time.monotonic()
        make_protocol(traced.api)
        times.append(time.monotonic() - started)
    assert sorted(times)[-3] < 1.0 * slowdown(), times
    pay(traced, "still-paid")
    until(lambda: traced.log_lines("payment.released", "still-paid"), 20, "the payment is made")

    started = time.monotonic()
    assert stop(web, seconds=25) == 0
    assert time.monotonic() - started < 10 * slowdown()
    started = time.monotonic()
    assert traced.process is not None
    assert stop(traced.process, seconds=25, sign=signal.SIGTERM) == 0
    assert time.monotonic() - started < 20 * slowdown()


HIDE = """
import sys, runpy
sys.modules |= dict.fromkeys(['opentelemetry', 'sentry_sdk'])
for command in sys.argv[1:]:
    sys.argv = ['dashboard', command]
    try:
        runpy.run_module('app.cli', run_name='__main__')
    except SystemExit as ended:
        print('ENDED', command, ended.code in (1, 2) or ended.code, flush=True)
"""
EXTRAS = {"telemetry": "OTEL_EXPORTER_OTLP_ENDPOINT", "sentry": "SENTRY_DSN"}
COMMANDS = ("up", "web", "worker", "doctor")


def test_missing_extras_stop_the_start_and_are_named_with_every_other_fault(environment: dict[str, str]) -> None:
    """One process runs all the commands: to import them takes a second of processor time."""
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "SENTRY_DSN": "http://key@127.0.0.1:9/1"}
    given["PAYOUT_URL"] = "http://127.0.0.1:9"

    done = subprocess.run(
        [sys.executable, "-c", HIDE, *COMMANDS],
        env=os.environ | environment | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patience(60),
        cwd=ROOT,
    )

    rest = done.stdout
    for command in COMMANDS:
        told, ended, rest = rest.partition(f"ENDED {command} True\n")
        assert ended, (command, told)
        for extra, setting in EXTRAS.items():
            assert f"{setting}: needs the extra `{extra}`: pip install 'dashboard-realtime[{extra}]'" in told, command
        assert "PAYOUT_SECRET: is required" in told, command
    assert "Traceback" not in done.stdout


def test_libraries_of_disabled_exporters_are_not_imported(environment: dict[str, str]) -> None:
    """redis-py looks for OpenTelemetry's metrics by itself; what makes and sends traces is ours to leave out."""
    ours = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "sentry_sdk")
    show = f"import sys, wsgi; print([m for m in sys.modules if m.startswith({ours})])"
    done = subprocess.run(
        [sys.executable, "-c", show],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=patience(60),
        cwd=ROOT,
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr
