"""Random operations on pools agree with a plain model (hypothesis, stateful)."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from app.core.values import format_amount, parse_amount
from tests.factories import make_protocol
from tests.support.money import SECRET, Reply, books, payout_service, pool, settle

amounts = st.integers(min_value=1, max_value=20).map(lambda number: format_amount(number * 1_250_000))


def machine_for(app, api, service):
    class Money(RuleBasedStateMachine):
        pending = Bundle("pending")
        confirmed = Bundle("confirmed")
        asked = Bundle("asked")
        failed = Bundle("failed")

        def __init__(self):
            super().__init__()
            self.protocol_id = make_protocol(api)
            self.total = self.reserved = self.paid = 0
            self.held = {}
            self.recipients = {}
            service.paid.clear()
            self.version = 0

        def change(self, *, total=0, reserved=0, paid=0):
            self.total, self.reserved, self.paid = self.total + total, self.reserved + reserved, self.paid + paid
            self.version += 1

        @property
        def available(self):
            return self.total - self.reserved - self.paid

        @rule(amount=amounts)
        def deposit(self, amount):
            answer = api.owner.post(f"/protocols/{self.protocol_id}/deposits", {"amount": amount}).expect(201)
            self.change(total=parse_amount(amount))
            assert answer["pool"] == pool(api, self.protocol_id)

        @rule(target=pending, bounty=st.none() | amounts)
        def file(self, bounty):
            body = {"title": "t", "severity": "LOW"} | ({} if bounty is None else {"bounty": bounty})
            answer = api.validator.post(f"/protocols/{self.protocol_id}/vulnerabilities", body)
            wanted = parse_amount(bounty) if bounty else 0
            if wanted > self.available:
                assert answer.code == "INSUFFICIENT_FUNDS"
                return multiple()
            path = f"/vulnerabilities/{answer.expect(201)['id']}"
            self.held[path] = wanted
            if wanted:
                self.change(reserved=wanted)
            return path

        @rule(path=consumes(pending))
        def reject(self, path):
            api.validator.post(f"{path}/reject", {"reason": "no"}).expect(200)
            if self.held[path]:
                self.change(reserved=-self.held[path])

        @rule(target=confirmed, path=consumes(pending), bounty=st.none() | amounts)
        def confirm(self, path, bounty):
            body = {} if bounty is None else {"bounty": bounty}
            answer = api.validator.post(f"{path}/confirm", body)
            wanted = parse_amount(bounty) if bounty else 0
            if wanted and self.held[path]:
                assert answer.code == "ALREADY_RESERVED"
            elif wanted > self.available:
                assert answer.code == "INSUFFICIENT_FUNDS"
            else:
                assert answer.status == 200
                if wanted:
                    self.held[path] = wanted
                    self.change(reserved=wanted)
                return path
            api.validator.post(f"{path}/confirm", {}).expect(200)
            return path

        @rule(target=asked, path=consumes(confirmed), amount=st.none() | amounts)
        def ask_payment(self, path, amount):
            body = {"recipient": "r"} | ({} if amount is None else {"amount": amount})
            answer = api.owner.post(f"{path}/payment", body)
            held, wanted = self.held[path], parse_amount(amount) if amount else None
            if (held == 0 and wanted is None) or 0 < held < (wanted or 0):
                assert answer.status == 422
                return multiple()
            if held == 0 and wanted > self.available:
                assert answer.code == "INSUFFICIENT_FUNDS"
                return multiple()
            final = held if wanted is None else wanted
            if final != held:
                self.change(reserved=final - held)
            payment = answer.expect(202)
            assert payment["amount"] == format_amount(final)
            self.recipients[payment["id"]] = payment["recipient"]
            return payment["id"], final, path

        @rule(target=failed, payment=consumes(asked))
        def refuse(self, payment):
            service.replies = [Reply(422, b"no")]
            settle(app, payment[0])
            settle(app, payment[0])
            assert api.viewer.get(f"/payments/{payment[0]}").expect(200)["status"] == "FAILED"
            return payment

        @rule(target=asked, payment=consumes(failed), recipient=st.none() | st.sampled_from(["r", "other"]))
        def retry(self, payment, recipient):
            answer = api.owner.post(f"/payments/{payment[0]}/retry", {"recipient": recipient}).expect(202)
            self.recipients[payment[0]] = recipient or self.recipients[payment[0]]
            assert answer["recipient"] == self.recipients[payment[0]]
            return payment

        @rule(target=confirmed, payment=consumes(failed))
        def cancel(self, payment):
            payment_id, amount, path = payment
            api.owner.post(f"/payments/{payment_id}/cancel").expect(200)
            assert api.owner.post(f"/payments/{payment_id}/retry").code == "INVALID_TRANSITION"
            self.held[path] = 0
            self.change(reserved=-amount)
            return path

        @rule(payment=consumes(asked))
        def settle(self, payment):
            payment_id, amount, _ = payment
            before = len(service.paid)
            settle(app, payment_id)
            settle(app, payment_id)
            assert api.viewer.get(f"/payments/{payment_id}").expect(200)["status"] == "RELEASED"
            assert (len(service.paid), service.requests[-1].json["recipient"]) == (
                before + 1, self.recipients[payment_id],
            )  # fmt: skip
            self.change(reserved=-amount, paid=amount)

        @invariant()
        def the_pool_is_the_model_s(self):
            assert pool(api, self.protocol_id) == {
                "protocolId": self.protocol_id,
                "currency": "USDC",
                "total": format_amount(self.total),
                "available": format_amount(self.available),
                "reserved": format_amount(self.reserved),
                "paid": format_amount(self.paid),
                "version": str(self.version),
            }
            assert self.available >= 0

        def teardown(self):
            assert books(app) == []

    return Money


@pytest.mark.slow
def test_after_any_operations_pool_and_ledger_agree_with_a_plain_model(app_with):
    few = settings(
        max_examples=8, stateful_step_count=20, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with payout_service() as service:
        api = app_with(PAYOUT_URL=service.url, PAYOUT_SECRET=SECRET, PAYOUT_RETRY_BASE="0")
        machine = machine_for(api.transport.client.application, api, service)
        run_state_machine_as_test(machine, settings=few)
