"""Gauges of payments, the payments that `dashboard doctor` names, and the circuit breaker of one process."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from app.core.database import transaction, utc_now
from app.payments.gateway import BREAKER_FAILURES, BREAKER_OPEN_SECONDS, Breaker
from app.payments.models import Payment
from app.payments.reconciliation import read_payments, stuck_payments
from tests.support.api import Api
from tests.support.money import confirmed, funded_protocol, request_payment
from tests.support.readings import values_of

MARGIN = 60  # seconds that a slow machine may take between two lines of a test


@pytest.fixture
def payment_id(api: Api) -> str:
    return str(request_payment(api, confirmed(api, funded_protocol(api)))["id"])


def change(app: Flask, payment_id: str, **values: Any) -> None:
    with app.app_context(), transaction() as session:
        session.execute(update(Payment).where(Payment.id == payment_id).values(**values))


def stuck(app: Flask) -> list[str]:
    with app.app_context():
        return [each.id for each in stuck_payments(10)]


def gauges(app: Flask) -> dict[str, dict[str, float]]:
    with app.app_context():
        return {each.name: values_of(each) for each in read_payments()}


@pytest.mark.database("sqlite")
def test_without_a_payment_every_gauge_is_zero(app: Flask) -> None:
    assert {value for values in gauges(app).values() for value in values.values()} == {0.0}


@pytest.mark.database("sqlite")
def test_the_gauges_show_number_and_age_of_waiting_payments(app: Flask, payment_id: str) -> None:
    change(app, payment_id, created_at=utc_now() - timedelta(seconds=1000))

    found = gauges(app)

    assert found["dashboard_payments_waiting"] == {"PENDING": 1.0, "PROCESSING": 0.0, "FAILED": 0.0}
    assert 1000 <= found["dashboard_payments_oldest_seconds"]["PENDING"] < 1000 + MARGIN
    assert found["dashboard_payments_not_recorded"] == {"": 0.0}


@pytest.mark.database("sqlite")
def test_a_payment_is_stuck_when_it_is_old_or_was_tried_often(app: Flask, payment_id: str) -> None:
    assert stuck(app) == []

    change(app, payment_id, attempts=4)
    assert stuck(app) == []
    change(app, payment_id, attempts=5)
    assert stuck(app) == [payment_id]

    change(app, payment_id, attempts=0, created_at=utc_now() - timedelta(seconds=300 - MARGIN))
    assert stuck(app) == []
    change(app, payment_id, created_at=utc_now() - timedelta(seconds=300.1))  # SQLite's clock counts milliseconds
    assert stuck(app) == [payment_id]
    change(app, payment_id, status="RELEASED")
    assert stuck(app) == []


def test_the_fifth_failed_connection_in_a_row_opens_the_circuit_for_two_seconds() -> None:
    now = [0.5]
    breaker = Breaker(clock=lambda: now[0])

    for _ in range(4):
        breaker.record(was_reached=False)
    assert breaker.remaining_seconds == 0
    breaker.record(was_reached=False)
    assert (BREAKER_FAILURES, breaker.remaining_seconds) == (5, 2.0)

    now[0] += BREAKER_OPEN_SECONDS
    assert breaker.remaining_seconds == 0
    breaker.record(was_reached=False)  # the probe
    assert breaker.remaining_seconds == BREAKER_OPEN_SECONDS


def test_a_response_starts_the_count_of_failed_connections_again() -> None:
    breaker = Breaker(clock=lambda: 0.5)
    for _ in range(4):
        breaker.record(was_reached=False)

    breaker.record(was_reached=True)

    for _ in range(4):
        breaker.record(was_reached=False)
    assert breaker.remaining_seconds == 0
