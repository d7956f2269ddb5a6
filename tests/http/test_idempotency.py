import time
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from app.core.database import transaction, utc_now
from app.core.extensions import db
from app.http import idempotency
from app.http.idempotency import IdempotencyKey
from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.money import at_once, books, confirmed, funded_protocol, own_api, pool


def keys_kept(app):
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(IdempotencyKey))


def test_the_same_key_and_body_get_the_first_response_again_and_have_one_effect(api):
    protocol_id = make_protocol(api)
    path, body = f"/protocols/{protocol_id}/deposits", {"amount": "5.00", "reference": "r"}
    first = api.owner.post(path, body, Idempotency_Key="k1")
    again = api.owner.post(path, dict(reversed(body.items())), Idempotency_Key="k1")
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert pool(api, protocol_id)["total"] == "5.00"


def test_the_same_key_with_another_body_is_409(api):
    path = f"/protocols/{make_protocol(api)}/deposits"
    api.owner.post(path, {"amount": "5.00"}, Idempotency_Key="k1").expect(201)
    for body in ({"amount": "6.00"}, {"amount": "5.00", "reference": "other"}, {"amount": "5.0"}):
        refused = api.owner.post(path, body, Idempotency_Key="k1")
        assert (refused.status, refused.code) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_the_same_key_on_another_path_is_409(api):
    one, other = make_protocol(api), make_protocol(api)
    api.owner.post(f"/protocols/{one}/deposits", {"amount": "5.00"}, Idempotency_Key="k1").expect(201)
    refused = api.owner.post(f"/protocols/{other}/deposits", {"amount": "5.00"}, Idempotency_Key="k1")
    assert (refused.status, refused.code) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_each_subject_has_its_own_keys(api):
    protocol_id = make_protocol(api)
    for subject in ("alice", "bob"):
        owner = api.as_("owner", sub=subject)
        owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "5.00"}, Idempotency_Key="k1").expect(201)
    assert pool(api, protocol_id)["total"] == "10.00"


def test_a_key_that_is_not_1_to_255_printable_characters_is_422(api):
    protocol_id = make_protocol(api)
    for key in ("", "x" * 256, "tab\there", "é", "\x7f"):
        refused = api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "5.00"}, Idempotency_Key=key)
        assert refused.status == 422, key
        assert "Idempotency-Key" in refused.json["errors"]
    assert pool(api, protocol_id)["total"] == "0.00"


def test_the_longest_key_is_accepted(api):
    path = f"/protocols/{make_protocol(api)}/deposits"
    api.owner.post(path, {"amount": "5.00"}, Idempotency_Key="~" * 255).expect(201)
    assert api.owner.post(path, {"amount": "5.00"}, Idempotency_Key="~" * 255).headers["idempotent-replayed"]


def test_sixty_four_concurrent_posts_with_one_key_have_one_effect(app, settings, api):
    protocol_id = make_protocol(api)
    path, body = f"/protocols/{protocol_id}/deposits", {"amount": "5.00"}

    def one():
        return own_api(app, settings).owner.post(path, body, Idempotency_Key="the-one")

    answers = at_once(64, [one] * 64)

    assert pool(api, protocol_id)["total"] == "5.00"
    good = [answer for answer in answers if answer.status == 201]
    assert {answer.status for answer in answers} <= {201, 409, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status != 201)
    assert len({answer.body for answer in good}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in good) == 1
    assert books(app) == []


def test_a_refused_request_stores_no_key_so_it_may_succeed_later(app, api):
    protocol_id = make_protocol(api)
    path, body = f"/protocols/{protocol_id}/vulnerabilities", {"title": "t", "severity": "LOW", "bounty": "5"}
    assert api.validator.post(path, body, Idempotency_Key="k1").code == "INSUFFICIENT_FUNDS"
    assert keys_kept(app) == 0
    deposit(api, protocol_id, "5.00")
    api.validator.post(path, body, Idempotency_Key="k1").expect(201)
    assert keys_kept(app) == 1


def test_a_caller_without_permission_gets_no_stored_response(api):
    path = f"/protocols/{make_protocol(api)}/deposits"
    api.as_("owner", sub="same").post(path, {"amount": "5.00"}, Idempotency_Key="k1").expect(201)
    assert api.as_("viewer", sub="same").post(path, {"amount": "5.00"}, Idempotency_Key="k1").status == 403


def test_every_post_that_moves_money_or_changes_a_status_repeats_its_response(api):
    protocol_id = funded_protocol(api)
    pending = f"/vulnerabilities/{file_vulnerability(api, protocol_id)['id']}"
    rejected = f"/vulnerabilities/{file_vulnerability(api, protocol_id)['id']}"
    posts = [
        (api.owner, f"/protocols/{protocol_id}/deposits", {"amount": "1"}),
        (api.validator, f"/protocols/{protocol_id}/vulnerabilities", {"title": "t", "severity": "LOW"}),
        (api.validator, f"{pending}/confirm", {}),
        (api.validator, f"{rejected}/reject", {"reason": "no"}),
        (api.owner, f"{confirmed(api, protocol_id)}/payment", {"recipient": "r"}),
    ]
    for number, (caller, path, body) in enumerate(posts):
        first = caller.post(path, body, Idempotency_Key=f"k{number}")
        again = caller.post(path, body, Idempotency_Key=f"k{number}")
        assert first.status in (200, 201, 202), first
        assert (again.status, again.body) == (first.status, first.body), path
        assert again.headers["idempotent-replayed"] == "true"


def test_keys_are_deleted_after_a_day_and_not_before(app, api):
    path = f"/protocols/{make_protocol(api)}/deposits"
    for key in ("old", "young"):
        api.owner.post(path, {"amount": "1"}, Idempotency_Key=key).expect(201)
    with app.app_context():
        with transaction() as session:
            day_old = utc_now() - timedelta(hours=24, seconds=1)
            session.execute(update(IdempotencyKey).where(IdempotencyKey.key == "old").values(created_at=day_old))
        assert idempotency.delete_old(time.monotonic() + 60) == 1
    assert "idempotent-replayed" not in api.owner.post(path, {"amount": "1"}, Idempotency_Key="old").headers
    assert "idempotent-replayed" in api.owner.post(path, {"amount": "1"}, Idempotency_Key="young").headers


@pytest.mark.database("postgresql")
def test_a_key_held_for_too_long_by_another_is_409_with_retry_after(app, api):
    """PostgreSQL waits for the first caller's transaction, but not for ever."""
    path = f"/protocols/{make_protocol(api)}/deposits"
    held = IdempotencyKey(subject="owner-1", key="held", fingerprint="f", status=201, body="", created_at=utc_now())
    with app.app_context(), transaction() as session:
        session.add(held)
        session.flush()
        refused = at_once(1, [lambda: api.owner.post(path, {"amount": "1"}, Idempotency_Key="held")])[0]
    assert (refused.status, refused.code) == (409, "IDEMPOTENCY_KEY_IN_USE")
    assert int(refused.headers["retry-after"]) >= 1
