"""Payments, ledger entries and vulnerabilities by status, kind, reservation and period, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.core.database import transaction, utc_now
from app.core.values import iso_timestamp, parse_amount
from app.payments.models import Payment
from app.protocols.models import LedgerEntry
from app.vulnerabilities.models import Vulnerability
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.databases import unguard_ledger
from tests.support.money import confirmed, funded_protocol, pool, request_payment, settle

LISTS = {"payments": Payment, "pool/entries": LedgerEntry, "vulnerabilities": Vulnerability}


def listed(api, protocol_id, path, **query):
    """All items of a list, read with pages of two."""
    items, cursor = [], ""
    while cursor is not None:
        given = query | {"limit": "2", "cursor": cursor}
        text = "&".join(f"{name.rstrip('_')}={value}" for name, value in given.items())
        page = api.viewer.get(f"/protocols/{protocol_id}/{path}?{text}").expect(200)
        items, cursor = items + page["items"], page["nextCursor"]
    return items


@pytest.fixture
def three_of_each(api, app):
    """A protocol whose rows of each list were made on three days, at noon; returns it."""
    protocol_id = funded_protocol(api)
    for _ in range(2):
        deposit(api, protocol_id, "1.00")
    with app.app_context():
        for _ in range(3):
            request_payment(api, confirmed(api, protocol_id, bounty=None), amount="1.00")
        with transaction() as session:
            unguard_ledger(session)
            for model in LISTS.values():
                ids = session.scalars(select(model.id).where(model.protocol_id == protocol_id).order_by(model.id))
                for day, row_id in enumerate(list(ids)[:3]):
                    when = utc_now().replace(
                        year=2026, month=3, day=day + 1, hour=12, minute=0, second=0, microsecond=0
                    )
                    session.execute(update(model).where(model.id == row_id).values(created_at=when))
    return protocol_id


@pytest.mark.parametrize("path", LISTS)
def test_a_period_includes_its_start_and_excludes_its_end(api, three_of_each, path):
    def days(**query):
        items = listed(api, three_of_each, path, **query)
        return sorted(each["createdAt"][8:10] for each in items if each["createdAt"] < "2026-04")

    assert days(to="2026-04-01") == ["01", "02", "03"]
    assert days(from_="2026-03-02", to="2026-03-03") == ["02"]
    assert days(from_="2026-03-01T12:00:00Z", to="2026-03-02T12:00:00.000Z") == ["01"]
    assert days(from_="2026-03-01T12:00:00.001Z", to="2026-03-02T12:00:00.001Z") == ["02"]
    assert days(from_="2026-03-01T13:00:00%2B01:00", to="2026-03-01T13:00:01+01:00") == ["01"]
    assert days(from_="", to="2026-03-02") == ["01"]
    assert listed(api, three_of_each, path, from_="2200-01-01") == []


@pytest.mark.parametrize("path", LISTS)
def test_an_invalid_period_is_refused_and_named(api, three_of_each, path):
    def refusal(query):
        answer = api.viewer.get(f"/protocols/{three_of_each}/{path}?{query}")
        return answer.status, set(answer.json.get("errors", ()))

    for value in ("yesterday", "2026-02-30", "2026-03-01T12:00:00", "1772366400", "2026-03-01T25:00Z", "0"):
        assert refusal(f"from={value}") == (422, {"from"}), value
        assert refusal(f"to={value}") == (422, {"to"}), value
    assert refusal("from=2026-03-02&to=2026-03-02") == (422, {"to"})
    assert refusal("from=2026-03-02&to=2026-03-01") == (422, {"to"})


def test_payments_are_filtered_by_status(api, app, three_of_each):
    newest = listed(api, three_of_each, "payments")[0]
    settle(app, newest["id"])

    assert [each["id"] for each in listed(api, three_of_each, "payments", status="RELEASED")] == [newest["id"]]
    assert len(listed(api, three_of_each, "payments", status="PENDING")) == 2
    assert len(listed(api, three_of_each, "payments", status="")) == 3
    assert listed(api, three_of_each, "payments", status="PENDING", from_="2026-03-02", to="2026-03-03") != []
    assert api.viewer.get(f"/protocols/{three_of_each}/payments?status=paid").status == 422


def test_entries_are_filtered_by_change_type(api, three_of_each):
    kinds = {each["changeType"] for each in listed(api, three_of_each, "pool/entries", changeType="RESERVATION")}

    assert kinds == {"RESERVATION"}
    assert len(listed(api, three_of_each, "pool/entries", changeType="DEPOSIT")) == 3
    assert api.viewer.get(f"/protocols/{three_of_each}/pool/entries?changeType=GIFT").status == 422


def test_the_reserved_vulnerabilities_add_up_to_the_reserved_sum_of_the_pool(api, app):
    protocol_id = funded_protocol(api)
    file_vulnerability(api, protocol_id)
    pending = file_vulnerability(api, protocol_id, bounty="10.50", severity="LOW")["id"]
    rejected = file_vulnerability(api, protocol_id, bounty="20.00")["id"]
    api.validator.post(f"/vulnerabilities/{rejected}/reject", {"reason": "duplicate"}).expect(200)
    paid, smaller = (confirmed(api, protocol_id, bounty="30.00") for _ in range(2))
    settle(app, request_payment(api, paid)["id"])
    request_payment(api, smaller, amount="12.25")

    reserved = listed(api, protocol_id, "vulnerabilities", reserved="true")

    assert {each["id"] for each in reserved} == {pending, smaller.rpartition("/")[2]}
    total = sum(parse_amount(each["reserved"]) for each in reserved)
    assert total == parse_amount(pool(api, protocol_id)["reserved"]) == parse_amount("22.75")
    assert len(listed(api, protocol_id, "vulnerabilities", reserved="false")) == 3
    assert len(listed(api, protocol_id, "vulnerabilities", reserved="")) == 5
    assert [each["id"] for each in listed(api, protocol_id, "vulnerabilities", reserved="true", severity="LOW")] == [
        pending
    ]
    assert len(listed(api, protocol_id, "vulnerabilities", reserved="true", sort="severity", status="CONFIRMED")) == 1
    assert api.viewer.get(f"/protocols/{protocol_id}/vulnerabilities?reserved=some").status == 422


def test_a_row_made_now_is_in_the_period_that_has_begun(api):
    protocol_id = make_protocol(api)
    before = iso_timestamp(utc_now() - timedelta(seconds=1))
    file_vulnerability(api, protocol_id)

    assert len(listed(api, protocol_id, "vulnerabilities", from_=before)) == 1
    assert listed(api, protocol_id, "vulnerabilities", to=before) == []
