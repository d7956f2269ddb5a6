"""A load balancer in front of the proxy, set up as docs/operating.md says: caller and scheme get through."""

from collections.abc import Callable

from tests.factories import make_protocol
from tests.support.api import Api

# What arrives after the load balancer has set both headers and the proxy has added its own values.
BEHIND_BOTH = {"X_Forwarded_For": "198.51.100.7, 10.0.0.5", "X_Forwarded_Proto": "https,http"}


def test_the_caller_is_known_behind_a_load_balancer_and_the_proxy(app_with: Callable[..., Api]) -> None:
    api = app_with(DASHBOARD_TRUSTED_PROXIES="2")
    protocol_id = make_protocol(api)

    answer = api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1"}, **BEHIND_BOTH)

    answer.expect(201)
    assert "strict-transport-security" in answer.headers
    entries = api.admin.get(f"/audit?protocolId={protocol_id}").expect(200)["items"]
    assert entries[0]["address"] == "198.51.100.7"
