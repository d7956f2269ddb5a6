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

    def logged() -> set[tuple[str, str]]:
        """What the lines that end say; the log's last one may be half written."""
        lines = [line.partition(" | ")[2] for line in stack.log_lines(name)]
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return {(each["message"], each.get("eventType", "")) for each in found}

    wanted = {
        ("payment.released", ""),
        ("event.relayed", "bounty_pool:updated"),
        ("event.relayed", "vuln:status_changed"),
    }
    until(lambda: wanted <= logged(), 20, "the release and both its events are logged with the request's id")
