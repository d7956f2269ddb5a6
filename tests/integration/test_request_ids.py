"""One id leads from a caller's request through log, outbox and task to the event's emission."""

import json

from tests.factories import deposit, file_vulnerability, make_protocol
from tests.support.processes import until
from tests.support.stack import StackMaker


def test_a_payments_request_id_is_in_the_log_of_every_process_that_worked_on_it(make_stack: StackMaker) -> None:
    stack = make_stack(DASHBOARD_LOG_FORMAT="json")
    protocol_id = make_protocol(stack.api)
    deposit(stack.api, protocol_id, "10.00")
    vulnerability = file_vulnerability(stack.api, protocol_id, bounty="4.00")
    stack.api.validator.post(f"/vulnerabilities/{vulnerability['id']}/confirm", {}).expect(200)

    body, name = {"recipient": "0xabc"}, "this-very-payment"
    stack.api.owner.post(f"/vulnerabilities/{vulnerability['id']}/payment", body, X_Request_Id=name).expect(202)

    def told() -> set[str]:
        lines = [line.partition(" | ")[2] for line in stack.log_lines(name)]
        return {json.loads(line)["message"] for line in lines if line.startswith("{")}

    until(lambda: {"payment.released", "event.relayed"} <= told(), 20, "both are logged with the request's id")
    events = stack.log_lines(name, "event.relayed")
    assert any("bounty_pool:updated" in line for line in events)
    assert any("vuln:status_changed" in line for line in events)
