"""What each answer of the payout service means, at the edges: statuses, sizes, references, reasons, the signature."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from app.config import Config, load_config
from app.payments import gateway
from app.payments.gateway import Outcome, Paid, Payout, Refused, Unknown
from tests.support.money import SECRET, PayoutService, Reply, payout_service

PAYOUT = Payout("pay-1", "P1", 1_500_000, "USDC", "0xabc → ü")


@pytest.fixture
def service():
    with payout_service() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, service: PayoutService) -> Config:
    return load_config({
        "DASHBOARD_HOME": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DASHBOARD_SIGNING_KEY": "0123456789abcdef" * 4,
        "PAYOUT_URL": service.url,
        "PAYOUT_SECRET": SECRET,
    })  # fmt: skip


@pytest.fixture
def pay(service, settings):
    def ask(status: int = 200, body: bytes = b'{"reference":"tx"}', **headers: str) -> Outcome:
        service.replies = [Reply(status, body, headers)]
        return gateway.pay(PAYOUT, settings)

    return ask


@pytest.mark.parametrize("status", [200, 201, 202, 226, 299])
def test_every_2xx_with_a_reference_is_paid(pay, status):
    assert pay(status) == Paid("tx")


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 599])
def test_an_answer_that_decides_nothing_is_asked_for_again(pay, service, status):
    assert isinstance(pay(status, b"why", Location=service.url), Unknown)
    assert len(service.requests) == 1, "a redirect is not followed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 409, 410, 422, 424, 426, 428, 430, 499])
def test_every_other_4xx_is_a_refusal(pay, status):
    assert pay(status, b"why") == Refused(f"HTTP {status}: why")


@pytest.mark.parametrize(("length", "is_paid"), [(0, False), (1, True), (200, True), (201, False)])
def test_a_reference_has_one_to_two_hundred_characters(pay, length, is_paid):
    outcome = pay(body=json.dumps({"reference": "r" * length}).encode())
    assert outcome == Paid("r" * length) if is_paid else isinstance(outcome, Unknown)


@pytest.mark.parametrize("reference", [None, 5, True, [], {}, "a\x00b"])
def test_a_reference_of_another_kind_proves_nothing(pay, reference):
    assert isinstance(pay(body=json.dumps({"reference": reference}).encode()), Unknown)


@pytest.mark.parametrize(("more", "is_paid"), [(0, True), (1, False)])
def test_an_answer_has_at_most_64_kib(pay, more, is_paid):
    body = b'{"reference":"tx"}'
    outcome = pay(body=body + b" " * (64 * 1024 - len(body) + more))
    assert outcome == Paid("tx") if is_paid else outcome == Unknown("the answer is longer than 65536 bytes")


def test_a_reason_is_shown_in_part_and_without_what_cannot_be_seen(pay):
    assert pay(400, b"a\x00b\x1b[31m\nc " + b"d" * 300) == Refused("HTTP 400: " + ("ab[31mc " + "d" * 300)[:200])
    assert pay(400, b"") == Refused("HTTP 400")
    assert pay(400, b"\xff!") == Refused("HTTP 400: \ufffd!")


def test_the_request_says_what_is_paid_and_is_signed(pay, service):
    pay()
    [request] = service.requests
    assert request.json == {
        "paymentId": "pay-1", "protocolId": "P1", "amount": "1.50", "currency": "USDC", "recipient": "0xabc → ü",
    }  # fmt: skip
    assert request.key == "pay-1"
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"
    assert request.is_signed_with(SECRET)
    assert not request.is_signed_with("another secret")


def test_the_signature_is_over_the_moment_and_the_body():
    wanted = hmac.new(b"secret", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
    assert gateway.signature("secret", 1_700_000_000, b'{"a":1}') == f"t=1700000000,v1={wanted}"
