"""The payout service as the worker meets it: good answers, bad ones, none."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import signal
import threading
import time

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from standardwebhooks import Webhook

from app.config import load_config
from app.core.outbound import THREAD_NAME
from app.payments.gateway import Paid, Refused, Unknown, max_call_seconds, pay, signature
from app.payments.models import Payment
from tests.core.test_tls import make_certificate
from tests.support.machine_speed import slowdown
from tests.support.money import SECRET, Reply, payout_service
from tests.support.processes import free_port, until

MEMBERS = {"id": "payment-1", "protocol_id": "P1", "amount_minor": 1_500_000, "currency": "USDC"}
PAYMENT = Payment(**MEMBERS, recipient="0xabc → you", recipient_number=1)


@pytest.fixture(params=["http", "https"])
def anyhow(request, tmp_path, monkeypatch):
    """The service, without TLS and with it."""
    certificate = make_certificate(tmp_path) if request.param == "https" else None
    if certificate:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with payout_service(certificate) as running:
        yield running


def calls_under_way():
    return [each for each in threading.enumerate() if each.name == THREAD_NAME]


def settings_for(url, **more):
    environment = {
        "DATABASE_URL": "sqlite://", "REDIS_URL": "redis://127.0.0.1:1", "DASHBOARD_SIGNING_KEY": secrets.token_hex(32),
        "PAYOUT_URL": url, "PAYOUT_SECRET": SECRET,
    }  # fmt: skip
    return load_config(environment | more)


@pytest.fixture
def settings(service):
    return settings_for(service.url)


IMPATIENT = {"PAYOUT_CONNECT_TIMEOUT": "1", "PAYOUT_READ_TIMEOUT": "0.4"}


@pytest.fixture
def impatient(service):
    """Settings for the calls that shall take too long; others would on a busy machine too."""
    return settings_for(service.url, **IMPATIENT)


def test_without_a_payout_service_payments_are_settled_in_the_ledger():
    assert pay(PAYMENT, settings_for("")) == Paid(None)


def test_a_payment_is_posted_with_its_id_as_idempotency_key_and_signed(service, settings):
    assert pay(PAYMENT, settings) == Paid("tx-1")
    (request,) = service.requests
    assert request.json == {
        "paymentId": "payment-1", "protocolId": "P1", "amount": "1.50", "currency": "USDC", "recipient": "0xabc → you",
    }  # fmt: skip
    assert request.key == "payment-1"
    assert request.is_signed_with(SECRET)
    assert not request.is_signed_with("another secret")
    assert request.headers["content-type"] == "application/json"


def test_a_payment_verifies_with_the_library_of_standard_webhooks(service, settings):
    pay(PAYMENT, settings)
    pay(Payment(**MEMBERS, recipient="0xdef", recipient_number=2), settings)

    whsec = "whsec_" + base64.b64encode(SECRET.encode()).decode()
    for request in service.requests:
        assert Webhook(whsec).verify(request.body, request.headers)["paymentId"] == "payment-1"
    assert [request.headers["webhook-id"] for request in service.requests] == ["payment-1", "payment-1:2"]


def test_the_same_payment_is_sent_with_the_same_key_and_body_each_time(service, settings):
    pay(PAYMENT, settings)
    pay(PAYMENT, settings)
    first, second = service.requests
    assert (first.key, first.body) == (second.key, second.body)
    assert len(service.paid) == 1


def test_a_chunked_response_is_read_to_its_end(service, settings):
    service.replies = [
        Reply(body=b'6\r\n{"refe\r\nd\r\nrence": "tx"}\r\n0\r\n\r\n', headers={"Transfer-Encoding": "chunked"})
    ]
    assert pay(PAYMENT, settings) == Paid("tx")


def test_a_truncated_chunked_response_is_not_a_payout(service, settings):
    broken = b'e\r\n{"reference": "\r\n'
    service.replies = [Reply(body=broken, headers={"Transfer-Encoding": "chunked"})]
    assert isinstance(pay(PAYMENT, settings), Unknown)


def test_an_error_of_our_own_during_a_call_counts_as_no_response(settings, monkeypatch):
    def fails(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("app.payments.gateway._send", fails)

    assert pay(PAYMENT, settings) == Unknown("no response (RuntimeError)", "a bug")


@pytest.mark.parametrize("status", [200, 201, 202, 226, 299])
def test_every_2xx_with_a_reference_is_paid(service, settings, status):
    service.replies = [Reply(status, b'{"reference": "tx-1"}')]
    assert pay(PAYMENT, settings) == Paid("tx-1")


def test_another_recipient_has_a_key_of_its_own_which_the_signed_body_names(service, settings):
    first, second = PAYMENT, Payment(**MEMBERS, recipient="0xdef", recipient_number=2)
    for payment in (first, second):
        assert isinstance(pay(payment, settings), Paid)
    told, changed = service.requests
    assert (told.key, "idempotencyKey" in told.json) == ("payment-1", False)
    assert (changed.key, changed.json["idempotencyKey"]) == ("payment-1:2", "payment-1:2")
    assert (changed.json["paymentId"], changed.json["recipient"]) == ("payment-1", "0xdef")
    assert changed.is_signed_with(SECRET)


def test_the_signature_covers_the_time_and_the_body():
    expected = hmac.new(b"secret", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
    assert signature("secret", 1_700_000_000, b'{"a":1}') == f"t=1700000000,v1={expected}"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 407, 410, 422, 424, 426, 428, 430, 451, 499])
def test_a_4xx_is_a_refusal_with_its_reason(service, settings, status):
    service.replies = [Reply(status, b'{"error": "unknown\x00 recipient"}')]
    outcome = pay(PAYMENT, settings)
    is_conclusive = status in (400, 402, 410, 422)
    assert outcome == Refused(f'HTTP {status}: {{"error": "unknown recipient"}}', is_conclusive)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 300, 301, 302, 307])
def test_a_transient_status_is_not_a_refusal(service, settings, status):
    service.replies = [Reply(status, b"later", headers={"Location": service.url})]
    assert pay(PAYMENT, settings) == Unknown(f"HTTP {status}: later")
    assert len(service.requests) == 1, "redirects are not followed"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"OK", b"null", b"[]", b"{}", b"5", b'"tx"', b'[{"reference": "tx"}]', b'{"reference": null}',
        b'{"reference": ""}', b'{"reference": true}', b'{"reference": ["tx"]}', b'{"reference": NaN}',
        b'{"reference": "tx"', b"\xff\xfe", b"[" * 10_000,
    ],
)  # fmt: skip
def test_a_2xx_without_a_reference_is_not_a_payout(service, settings, body):
    service.replies = [Reply(200, body)]
    assert isinstance(pay(PAYMENT, settings), Unknown)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (b"5", "5"),
        (b"12345678901234567890123", "12345678901234567890123"),
        (b"1.50", "1.50"),
        (b'"tx\\ud800"', "tx"),
        (b'"\\u001b[31mtx\\r\\n7\\u0000\\u202e"', "tx 7"),
        (b'"' + b"x" * 201 + b'"', "x" * 199 + "…"),
        (b'"\\u0000"', None),
        ('"支払い-7"'.encode(), "支払い-7"),
    ],
)
def test_a_reference_is_stored_as_text_that_every_database_takes(service, settings, written, stored):
    service.replies = [Reply(201, b'{"reference": ' + written + b"}")]
    assert pay(PAYMENT, settings) == Paid(stored)


def test_a_refusals_reason_is_one_line_without_escape_sequences_and_of_bounded_length(service, settings):
    service.replies = [Reply(422, b"\x1b[31mno\r\nfunds\x1b[0m\xff" + b"!" * 5000)]
    reason = pay(PAYMENT, settings).reason
    assert reason.startswith("HTTP 422: no funds\ufffd!!!")
    assert reason.endswith("…")
    assert len(reason) < 500


DATES = {"Date": "Thu, 01 Jan 1970 00:00:10 GMT"}  # a service whose clock stands


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:40 GMT"} | DATES, 30.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:01 GMT"} | DATES, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "1e9"}, 0.0),
        ({"Retry-After": "9" * 400}, float("inf")),
        ({}, 0.0),
    ],
)
@pytest.mark.parametrize("status", [409, 429, 503])
def test_the_retry_after_of_the_service_is_returned(service, settings, status, headers, seconds):
    service.replies = [Reply(status, b"later", headers=headers)]
    outcome = pay(PAYMENT, settings)
    assert (outcome.reason, outcome.retry_after) == (f"HTTP {status}: later", seconds)


def test_only_a_connection_that_was_not_made_counts_as_not_reached(service, settings, impatient):
    service.replies = [Reply(503), Reply(cut_after=3), Reply(before=lambda: time.sleep(2))]
    assert [pay(PAYMENT, each).was_reached for each in (settings, settings, impatient)] == [True, True, True]
    assert not pay(PAYMENT, settings_for(f"http://127.0.0.1:{free_port()}/payouts")).was_reached


def test_a_response_of_64_kibibytes_is_read_and_a_longer_one_is_cut_off(service, settings):
    service.replies = [Reply(200, b'{"reference":"x"}'.ljust(64 * 1024 + extra)) for extra in (0, 1)]
    assert pay(PAYMENT, settings) == Paid("x")
    assert "longer than 65536 bytes" in pay(PAYMENT, settings).reason


def test_two_hundred_characters_of_a_reference_and_of_a_reason_are_kept(service, settings):
    service.replies = [Reply(200, json.dumps({"reference": "r" * 201}).encode()), Reply(400, b"n" * 201)]
    paid, refused = pay(PAYMENT, settings), pay(PAYMENT, settings)
    assert len(paid.reference) == 200
    assert len(refused.reason.removeprefix("HTTP 400: ")) == 200


def test_a_call_to_a_service_that_hangs_ends_in_time(service, impatient):
    test_is_over, hangs = threading.Event(), []
    service.replies = [Reply(before=lambda: hangs.append(test_is_over.wait(60)))]
    assert isinstance(pay(PAYMENT, impatient), Unknown)
    assert hangs == [], "the service had not answered yet"
    test_is_over.set()


def test_a_response_that_arrives_slowly_is_abandoned_within_the_max_call_seconds(service, impatient):
    service.replies = [Reply(body=b" " * 60, pause=0.1)]
    started = time.monotonic()
    assert pay(PAYMENT, impatient) == Unknown("the response's body took longer than 0.4 s")
    assert time.monotonic() - started < max_call_seconds(impatient) * slowdown()


SLOW_HEAD = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 60


def test_headers_that_arrive_slowly_are_abandoned_within_the_max_call_seconds(anyhow):
    settings, ended = settings_for(anyhow.url, **IMPATIENT), threading.Event()
    anyhow.replies = [Reply(head=SLOW_HEAD, pause=0.1, after=ended.set)]
    started = time.monotonic()
    assert pay(PAYMENT, settings) == Unknown("no complete response within 1.8 s")
    assert time.monotonic() - started < (max_call_seconds(settings) + 0.5) * slowdown()
    until(lambda: not calls_under_way(), 2, "the call's thread has ended")
    assert not ended.is_set(), "the service could not finish its answer"


def test_the_service_is_called_over_tls_in_the_same_way(anyhow):
    assert pay(PAYMENT, settings_for(anyhow.url)) == Paid("tx-1")


def test_a_task_time_limit_during_the_call_leaves_the_outcome_unknown(service, settings):
    """As Celery does: a signal whose handler raises in the main thread."""

    def strike(*_):
        raise SoftTimeLimitExceeded

    service.replies = [Reply(before=lambda: (os.kill(os.getpid(), signal.SIGUSR1), time.sleep(1)))]
    earlier = signal.signal(signal.SIGUSR1, strike)
    try:
        assert pay(PAYMENT, settings) == Unknown("no response (SoftTimeLimitExceeded)", "SoftTimeLimitExceeded()")
    finally:
        signal.signal(signal.SIGUSR1, earlier)


def test_the_reason_shown_for_a_failed_call_names_no_address():
    port = free_port()
    outcome = pay(PAYMENT, settings_for(f"http://127.0.0.1:{port}/payouts?key=secret"))
    assert outcome.reason == "no response (ConnectionError)"
    assert str(port) in outcome.detail


def test_a_connection_broken_during_a_2xx_is_not_a_payout(service, settings):
    service.replies = [Reply(cut_after=5)]
    assert isinstance(pay(PAYMENT, settings), Unknown)
    assert len(service.paid) == 1, "the service has paid all the same"


def test_an_unreachable_service_is_not_a_refusal():
    url = f"http://127.0.0.1:{free_port()}/payouts"
    assert isinstance(pay(PAYMENT, settings_for(url)), Unknown)
