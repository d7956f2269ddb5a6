"""Generated requests, valid and invalid, to every operation: never a 5xx, always a documented response."""

import secrets
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.config import load_config
from tests.factories import deposit, file_vulnerability, make_agent, make_protocol
from tests.support import databases, servers
from tests.support.api import Api, InProcess
from tests.support.apps import make_app

PROTOCOL, AGENT = "P-fuzz", "A-fuzz"
PLAIN = {"Accept-Encoding": "identity"}  # its WSGI transport asks for gzip and does not unzip
ALWAYS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# An invalid update of a batch is reported by its index and the others are accepted: the response is still 202.
BATCH = "/api/v1/progress"
# Rules that JSON Schema cannot express and the descriptions state: they reject well-formed bodies with 422.
RULES_IN_WORDS = {
    "/api/v1/agents/{agentId}/progress",
    "/api/v1/protocols/{protocolId}/webhooks",  # which hosts are allowed
    "/api/v1/tokens",  # the protocols must exist
    "/api/v1/tokens/revoke",
    "/api/v1/payments/{paymentId}/retry",  # which characters of Unicode are printable
    "/api/v1/vulnerabilities/{vulnerabilityId}/payment",  # which characters of Unicode are printable
}
# A stream takes the connection over from the server of `dashboard web`; in this process the response is 501.
STREAM = "/api/v1/protocols/{protocolId}/events"
MODERATELY = settings(
    max_examples=8,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def fuzzed(valkey: servers.Valkey, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    home = tmp_path_factory.mktemp("fuzzed")
    environment = databases.environment(
        home=home,
        database_url=databases.copy_sqlite(sqlite_template, home),
        redis_url=valkey.url(0),
        signing_key=secrets.token_hex(32),
        DASHBOARD_REST_PER_TOKEN="1000000",
        DASHBOARD_REST_PER_ADDRESS="1000000",
    )
    with make_app(load_config(environment)) as app:
        yield app


@pytest.fixture(scope="module")
def places(fuzzed: Flask) -> dict[str, str]:
    """Ids of existing objects, so that not every call ends with 404, and a token with all rights."""
    api = Api(InProcess(fuzzed), fuzzed.extensions["dashboard_config"].signing_key)
    make_protocol(api, id=PROTOCOL)
    make_agent(api, id=AGENT)
    deposit(api, PROTOCOL, "1000000")
    vulnerability_id = file_vulnerability(api, PROTOCOL, bounty="10")["id"]
    api.validator.post(f"/vulnerabilities/{vulnerability_id}/confirm", {}).expect(200)
    payment = api.owner.post(f"/vulnerabilities/{vulnerability_id}/payment", {"recipient": "0xabc"}).expect(202)
    body = {"url": "https://hooks.example/", "eventTypes": ["*"]}
    webhook, deleted = (api.owner.post(f"/protocols/{PROTOCOL}/webhooks", body).expect(201)["id"] for _ in range(2))
    return {
        "webhookId": webhook,
        "DELETE webhookId": deleted,
        "deliveryId": api.owner.post(f"/webhooks/{webhook}/test").expect(202)["id"],
        "protocolId": PROTOCOL,
        "agentId": AGENT,
        "vulnerabilityId": vulnerability_id,
        "paymentId": payment["id"],
        "token": api.token("admin", sub=secrets.token_hex(8)),  # a generated request must not revoke it
    }


@pytest.fixture(scope="module")
def document(fuzzed: Flask, places: dict[str, str]) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", fuzzed, headers=PLAIN)


def checked(case: Any, places: dict[str, str], answered: set[int]) -> None:
    """Send one generated request to existing objects with a token that has all rights."""
    body = case.meta.components.get(ParameterLocation.BODY)
    for name in case.path_parameters or {}:
        case.path_parameters[name] = places.get(f"{case.method} {name}", places[name])
    case.headers = {**(case.headers or {}), **PLAIN, "Authorization": f"Bearer {places['token']}"}
    if case.query:
        case.query.pop("cursor", None)  # only the server can create one
        if "from" in case.query:
            case.query.pop("to", None)  # must be later
    path = case.operation.path

    response = case.call()

    answered.add(response.status_code)
    judged = []
    if path == STREAM and response.status_code == HTTPStatus.NOT_IMPLEMENTED:
        case.validate_response(response, checks=[each for each in ALWAYS if each is not not_a_server_error])
        return
    if case.meta.generation.mode is GenerationMode.POSITIVE and path not in RULES_IN_WORDS:
        judged = [positive_data_acceptance]
    elif body is not None and body.mode is GenerationMode.NEGATIVE and path != BATCH:
        judged = [negative_data_rejection]
    case.validate_response(response, checks=[*ALWAYS, *judged])


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_operation_responds_as_documented_to_any_request(
    document: Any, places: dict[str, str], mode: GenerationMode
) -> None:
    faults: list[str] = []
    answered: set[int] = set()
    operations = [result.ok() for result in document.get_all_operations()]
    for operation in operations:
        run = MODERATELY(given(case=operation.as_strategy(generation_mode=mode))(checked))
        try:
            run(places=places, answered=answered)
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # no request to this operation can be invalid
        except (Exception, FailureGroup) as fault:
            faults.append(f"{operation.label}: {fault}")

    assert faults == [], "\n\n".join(faults)
    assert len(operations) > 20
    assert answered > ({200, 201, 202} if mode is GenerationMode.POSITIVE else {400, 422}), answered
