"""`/healthz`, `/readyz` and `/metrics`."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.config import load_config
from tests.support.api import Api, InProcess
from tests.support.apps import make_app

NOBODY_LISTENS = "127.0.0.1:1"
PARTS = {"database", "redis", "messageQueue"}


def test_healthz_and_readyz_are_200_without_a_token(api: Api) -> None:
    anyone = api.with_token(None)
    assert anyone.get("//healthz").expect(200)["status"] == "ok"
    assert anyone.get("//readyz").expect(200) == {"status": "ok", "parts": dict.fromkeys(PARTS, "ok")}


@pytest.mark.parametrize(
    ("setting", "url", "down"),
    [
        ("REDIS_URL", f"redis://{NOBODY_LISTENS}/0", {"redis", "messageQueue"}),
        ("DATABASE_URL", f"postgresql+psycopg://nobody@{NOBODY_LISTENS}/none", {"database"}),
    ],
)
def test_readyz_names_a_failed_part_with_503(setting, url, down, environment) -> None:
    with make_app(load_config(environment | {setting: url})) as app:
        anyone = Api(InProcess(app), environment["DASHBOARD_SIGNING_KEY"]).with_token(None)
        ready, health = anyone.get("//readyz"), anyone.get("//healthz")

    assert (ready.status, ready.code) == (503, "DEPENDENCY_UNAVAILABLE")
    assert ready.json["requestId"] == ready.headers["x-request-id"]
    assert all(name in ready.json["detail"] for name in down)
    assert {name for name, state in ready.json["parts"].items() if state != "ok"} == down
    assert int(ready.headers["retry-after"]) >= 1
    assert health.status == 200


def test_metrics_are_prometheus_text_and_count_requests_by_route(api: Api) -> None:
    api.viewer.get("/protocols/none").code  # noqa: B018 - checks that it is a problem
    answer = api.with_token(None).get("//metrics")

    assert answer.status == 200
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    routes = {sample.labels["route"] for sample in families["dashboard_http_requests"].samples if sample.labels}
    assert "/api/v1/protocols/<string:protocol_id>" in routes
    assert not any("none" in route for route in routes)
