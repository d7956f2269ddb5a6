"""The OpenAPI document is valid, complete and agrees with the server."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.apidocs import asyncapi
from app.apidocs.operations import CATALOGUE
from app.auth.permissions import ALLOWED, Role
from app.core.schemas import camel_case
from app.webhooks.rules import DELIVERED_EVENTS
from tests.support import document_tools, documents
from tests.support.api import Api
from tests.support.project_files import project_files

pytestmark = pytest.mark.database("sqlite")  # the document does not depend on the database

UNDOCUMENTED = {"/", "/ops", "/ops/status", "/docs", "/docs/static/{filename}", "/static/{name}", "/demo/session"}
UNDOCUMENTED |= {"/runbooks/{name}", "/static/at-<string(length=16):release>/{name}"}
SOCKET_CODES = {"INVALID_MESSAGE", "UNKNOWN_EVENT", "INVALID_PROTOCOL", "TOO_MANY_CONNECTIONS", "REALTIME_UNAVAILABLE"}
PAGE_CODES = {"PAGE_NOT_SET_UP", "DEMO_OFF"}
INTERNAL_CODES = {"LEFT_MEANWHILE", "HTTP_ERROR"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return documents.openapi_offline()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, each) for path, item in document["paths"].items() for method, each in item.items()]


def test_the_server_serves_this_document(api: Api, document: dict[str, Any]) -> None:
    assert api.with_token(None).get("//openapi.json").expect(200) == document


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.slow
def test_spectral_finds_nothing_in_either_document(api: Api, tmp_path: Path) -> None:
    caller = api.with_token(None)
    for name in ("openapi.json", "asyncapi.json"):
        (tmp_path / name).write_bytes(caller.get(f"//{name}").body)
    ruleset = document_tools.SOURCES / "spectral.yaml"

    done = document_tools.run(
        "spectral", "lint", "--ruleset", ruleset, "--fail-severity=hint", "openapi.json", "asyncapi.json", cwd=tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_route_is_in_the_document(app: Flask, document: dict[str, Any]) -> None:
    routes = set()
    for rule in app.url_map.iter_rules():
        path = "/".join(
            "{" + camel_case(part.strip("<>").rpartition(":")[2]) + "}" if part.startswith("<") else part
            for part in rule.rule.split("/")
        )
        if path not in UNDOCUMENTED:
            routes |= {(path, method.lower()) for method in rule.methods - {"HEAD", "OPTIONS"}}

    assert routes == {(path, method) for path, method, _ in operations(document)}


def test_every_operation_under_api_names_its_roles(app: Flask, document: dict[str, Any]) -> None:
    actions = {
        camel_case(view.__name__): getattr(view, "required_action", None) for view in app.view_functions.values()
    }

    for path, method, operation in operations(document):
        if path.startswith("/api/"):
            allowed = ALLOWED[actions[operation["operationId"]]]
            assert operation["x-roles"] == [role for role in Role if role in allowed], (method, path)
            ticket = [{"ticket": []}] if path.endswith("/events") else []
            assert operation["security"] == [{"bearer": []}, *ticket]
            assert {"401", "429", "503"} <= operation["responses"].keys()


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    undescribed = [op["operationId"] for _, _, op in operations(document) if not (op["summary"] and op["description"])]

    assert undescribed == []


def test_every_member_of_every_body_is_described(document: dict[str, Any]) -> None:
    undescribed = [
        f"{name}.{member}"
        for name, schema in document["components"]["schemas"].items()
        for member, shape in schema.get("properties", {}).items()
        if "description" not in shape and "$ref" not in shape
    ]

    assert undescribed == []


def test_every_body_has_examples_and_each_is_valid(document: dict[str, Any]) -> None:
    checked = 0
    for path, method, operation in operations(document):
        responses = [documents.resolved(each, document) for each in operation["responses"].values()]
        for part in [operation.get("requestBody", {}), *responses]:
            for media in part.get("content", {}).values():
                assert media["examples"], (method, path)
                schema = {**media["schema"], "components": document["components"]}
                for example in media["examples"].values():
                    Draft202012Validator(schema, format_checker=FormatChecker()).validate(example["value"])
                    checked += 1
    assert checked > 100


def test_the_schemas_accept_the_request_examples(document: dict[str, Any]) -> None:
    from app.agents.schemas import BatchUpdate, ProgressReport
    from app.payments.schemas import PaymentCreate
    from app.protocols.schemas import DepositCreate
    from app.vulnerabilities.schemas import VulnerabilityCreate

    known = {
        "reportProgress": ProgressReport(),
        "createDeposit": DepositCreate(),
        "requestPayment": PaymentCreate(),
        "fileVulnerability": VulnerabilityCreate(),
    }
    for _, _, operation in operations(document):
        if operation["operationId"] in known:
            for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
                known[operation["operationId"]].load(example["value"])
        elif operation["operationId"] == "reportBatch":
            body = operation["requestBody"]["content"]["application/json"]["examples"]
            BatchUpdate(many=True).load(next(iter(body.values()))["value"]["updates"])


def test_every_error_code_of_rest_is_in_the_catalogue() -> None:
    used = set()
    for path in project_files(document_tools.ROOT / "app", "*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                used.add(node.value.value)

    used = {code for code in used if isinstance(code, str) and code.isupper()}
    assert used - SOCKET_CODES - PAGE_CODES - INTERNAL_CODES <= CATALOGUE.keys()


def test_the_committed_typescript_types_and_operations_match_the_documents(
    document: dict[str, Any], tmp_path: Path
) -> None:
    stale = "run `make docs` and commit clients/js"
    rest = (document_tools.TYPES / "rest.d.ts").read_text(encoding="utf-8")
    events = (document_tools.TYPES / "events.d.ts").read_text(encoding="utf-8")
    assert document_tools.types_of(document, tmp_path) == rest, stale
    assert document_tools.event_types_of(asyncapi.document(), tmp_path) == events, stale
    operations = tuple(path.read_text(encoding="utf-8") for path in document_tools.OPERATIONS)
    assert document_tools.operations_of(document) == operations, stale


def test_a_request_with_the_current_etag_is_answered_304(api: Api) -> None:
    caller = api.with_token(None)
    first = caller.get("//openapi.json")

    assert caller.get("//openapi.json", If_None_Match=first.headers["etag"]).status == 304


def test_the_docs_page_loads_only_from_this_server(api: Api) -> None:
    caller = api.with_token(None)

    page = caller.get("//docs")

    assert page.status == 200
    text = page.body.decode()
    assert "https://" not in text
    assert "style=" not in text
    assert "<style" not in text
    for name in ("docs.css", "docs.js"):
        assert f"/docs/static/{name}" in text
        assert caller.get(f"//docs/static/{name}").status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_document_and_the_server_accept_the_same_amounts(document: dict[str, Any]) -> None:
    from app.core.values import parse_amount

    pattern = document["components"]["schemas"]["DepositCreate"]["properties"]["amount"]
    validator = Draft202012Validator(pattern)
    for text in (
        "1",
        "0.000001",
        "1000.00",
        "0",
        "0.0",
        "00.1",
        "1.",
        ".5",
        "-1",
        "1e3",
        "0.0000001",
        "9" * 12,
        "9" * 13,
    ):
        try:
            parse_amount(text)
            taken = True
        except ValueError:
            taken = False
        assert validator.is_valid(text) is taken, text


def test_the_documents_are_json_without_a_token(api: Api) -> None:
    for name in ("openapi.json", "asyncapi.json"):
        answer = api.with_token(None).get(f"//{name}")
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(answer.body)


def test_each_delivered_event_is_a_webhook_with_valid_examples(document: dict[str, Any]) -> None:
    webhooks = {name: item["post"] for name, item in document["webhooks"].items() if name != "payout"}

    assert {each["summary"].removeprefix("Receive ") for each in webhooks.values()} == {*DELIVERED_EVENTS, "a test"}
    for operation in webhooks.values():
        media = operation["requestBody"]["content"]["application/json"]
        validator = Draft202012Validator({**media["schema"], "components": document["components"]})
        for example in media["examples"].values():
            validator.validate(example["value"])
            assert example["value"]["data"].get("status") not in ("RUNNING", "IDLE")


def test_the_payout_call_describes_amounts_like_the_responses(document: dict[str, Any]) -> None:
    payout = document["webhooks"]["payout"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    payment = document["components"]["schemas"]["Payment"]

    assert payout["properties"]["amount"]["pattern"] == payment["properties"]["amount"]["pattern"]
