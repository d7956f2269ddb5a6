"""Every error has one shape (RFC 9457), a stable code and a request id; nothing leaks."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.config import load_config
from app.factory import create_app
from app.http.problems import flatten_messages
from tests.factories import make_agent, make_protocol
from tests.support.api import Api, InProcess
from tests.support.apps import make_app

pytestmark = pytest.mark.database("sqlite")  # the shape of errors does not depend on the database

NOBODY_LISTENS = "127.0.0.1:1"


PROVOKED = {
    "malformed": (400, "BAD_REQUEST", lambda api: api.admin.post("/protocols", b"{")),
    "no token": (401, "UNAUTHORIZED", lambda api: api.with_token(None).get("/protocols")),
    "not allowed": (403, "FORBIDDEN", lambda api: api.viewer.post("/protocols", {"name": "x"})),
    "no such protocol": (404, "PROTOCOL_NOT_FOUND", lambda api: api.viewer.get("/protocols/none")),
    "no such route": (404, "NOT_FOUND", lambda api: api.viewer.get("/nothing/here")),
    "options of no route": (404, "NOT_FOUND", lambda api: api.viewer.call("OPTIONS", "/nothing/here")),
    "no such method": (405, "METHOD_NOT_ALLOWED", lambda api: api.admin.call("DELETE", "/protocols")),
    "too large": (413, "BODY_TOO_LARGE", lambda api: api.admin.post("/protocols", {"name": "x" * 2**21})),
    "not JSON": (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        lambda api: api.admin.post("/protocols", b"name=x", Content_Type="text/plain"),
    ),
    "not valid": (422, "VALIDATION_FAILED", lambda api: api.admin.post("/protocols", {"name": 5})),
    "bad page": (422, "VALIDATION_FAILED", lambda api: api.viewer.get("/protocols?limit=0")),
}


@pytest.mark.parametrize("what", PROVOKED)
def test_an_error_is_a_problem_with_status_code_and_request_id(what: str, api: Api) -> None:
    status, code, provoke = PROVOKED[what]

    answer = provoke(api)

    body = answer.json
    assert (answer.status, answer.code) == (status, code)
    assert {"type", "title", "status", "detail", "code", "requestId"} <= set(body)
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    assert body["requestId"] == answer.headers["x-request-id"]
    assert ("errors" in body) == (status == 422)
    assert "Traceback" not in answer.body.decode()
    assert "<html" not in answer.body.decode().lower()


def test_an_error_in_a_nested_field_names_its_path(api: Api) -> None:
    agent_id, protocol_id = make_agent(api), make_protocol(api)
    failed = {"protocolId": protocol_id, "task": "t", "status": "FAILED"}

    for error in ({}, {"message": 5}, {"message": "m", "other": 1}, 5):
        errors = (
            api.agent(agent_id).post(f"/agents/{agent_id}/progress", failed | {"error": error}).expect(422)["errors"]
        )
        assert all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in errors.values())
        assert all(field.split(".")[0] == "error" for field in errors), errors


@pytest.mark.parametrize(
    ("messages", "flat"),
    [
        ({"name": ["a", "b"]}, {"name": ["a", "b"]}),
        ({"error": {"message": ["a"], "code": ["b"]}}, {"error.message": ["a"], "error.code": ["b"]}),
        ({"list": {0: {"x": ["a"]}, 2: ["b"]}}, {"list.0.x": ["a"], "list.2": ["b"]}),
        ({"name": "a"}, {"name": ["a"]}),
        ({"error": {"_schema": ["a"]}, "_schema": ["b"]}, {"error": ["a"], "_schema": ["b"]}),
    ],
)
def test_messages_are_flattened_to_dotted_fields(messages, flat) -> None:
    assert flatten_messages(messages) == flat


def test_a_405_names_the_methods_that_are_allowed(api: Api) -> None:
    answer = api.admin.call("DELETE", "/protocols")
    assert {"GET", "POST"} <= set(re.split(r",\s*", answer.headers["allow"]))


@pytest.mark.parametrize(
    "path", ["/protocols/%00", "/protocols/..%2f..%2fetc", "/protocols/" + "x" * 5000, "/agents/%ff"]
)
def test_an_unusual_path_is_404_and_not_500(path: str, api: Api) -> None:
    answer = api.viewer.get(path)
    assert answer.status == 404
    assert answer.code.endswith("NOT_FOUND")


def test_every_response_has_a_request_id_of_its_own_or_the_callers(api: Api) -> None:
    made = {api.viewer.get("/protocols").headers["x-request-id"] for _ in range(5)}
    assert len(made) == 5

    given = api.viewer.get("/protocols/none", X_Request_Id="my-id-1")
    assert given.headers["x-request-id"] == given.json["requestId"] == "my-id-1"


@pytest.mark.parametrize("bad", ["x" * 65, "a b", "<script>", "%0d%0aX: y", ""])
def test_an_invalid_request_id_is_replaced(bad: str, api: Api) -> None:
    assert api.viewer.get("/protocols", X_Request_Id=bad).headers["x-request-id"] != bad


def test_an_unexpected_error_is_a_500_without_details_and_logged_in_full(settings, caplog) -> None:
    app = create_app(settings)

    @app.get("/api/v1/broken")
    def broken() -> str:
        raise RuntimeError("secret inner state")

    answer = Api(InProcess(app), settings.signing_key).viewer.get("/broken")

    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.body.decode()
    assert any("secret inner state" in str(record.exc_info and record.exc_info[1]) for record in caplog.records)


def test_beyond_the_rate_a_token_gets_429_with_retry_after_and_others_do_not(app_with) -> None:
    api = app_with(DASHBOARD_REST_PER_TOKEN="5")
    eager, calm = api.as_("viewer", sub="eager"), api.as_("viewer", sub="calm")

    answers = [eager.get("/protocols") for _ in range(40)]

    refused = [each for each in answers if each.status == 429]
    assert refused
    assert {each.status for each in answers} == {200, 429}
    assert all(int(each.headers["retry-after"]) >= 1 and each.code == "RATE_LIMITED" for each in refused)
    assert calm.get("/protocols").status == 200


def test_beyond_the_rate_an_address_gets_429_whatever_tokens_it_has(app_with) -> None:
    api = app_with(DASHBOARD_REST_PER_ADDRESS="10")
    answers = [api.as_("viewer", sub=f"v{n}").get("/protocols").status for n in range(60)]
    assert {200, 429} == set(answers)


def test_the_default_limits_allow_two_hundred_quick_requests(api: Api) -> None:
    viewer = api.viewer
    assert {viewer.get("/protocols").status for _ in range(200)} == {200}


def test_without_redis_the_error_names_it_and_has_retry_after(environment) -> None:
    with make_app(load_config(environment | {"REDIS_URL": f"redis://{NOBODY_LISTENS}/0"})) as app:
        api = Api(InProcess(app), environment["DASHBOARD_SIGNING_KEY"])
        protocol_id = make_protocol(api)
        answer = api.viewer.get(f"/protocols/{protocol_id}/state")

    assert answer.status == 503
    assert answer.code.endswith("UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1


def test_without_a_database_the_error_names_it_and_has_retry_after(environment) -> None:
    url = f"postgresql+psycopg://nobody@{NOBODY_LISTENS}/none"
    with make_app(load_config(environment | {"DATABASE_URL": url})) as app:
        api = Api(InProcess(app), environment["DASHBOARD_SIGNING_KEY"])
        answers = [api.viewer.get("/protocols"), api.admin.post("/protocols", {"name": "x"})]

    for answer in answers:
        assert (answer.status, answer.code) == (503, "DATABASE_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) >= 1


def test_of_concurrent_creations_of_one_id_one_succeeds_and_the_others_conflict(api: Api) -> None:
    def create(_: int) -> int:
        return api.admin.post("/protocols", {"id": "the-one", "name": "x"}).status

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(create, range(8)))

    assert statuses == [201] + [409] * 7


def test_api_responses_have_the_security_headers(api: Api) -> None:
    headers = api.viewer.get("/protocols").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
