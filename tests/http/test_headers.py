"""Security headers: no foreign scripts or frames, only configured origins and trusted proxies."""

import pytest
from flask import Flask

from app.config import ConfigError, load_config
from tests.factories import deposit, make_protocol
from tests.support.api import Api

pytestmark = pytest.mark.database("sqlite")

FRIEND, STRANGER = "https://app.example", "https://evil.example"


@pytest.mark.parametrize("path", ["//healthz", "//docs", "/protocols", "//nowhere", "//openapi.json"])
def test_every_response_has_the_security_headers(path: str, api: Api) -> None:
    headers = api.viewer.get(path).headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_responses_of_the_api_are_not_stored_by_caches(api: Api) -> None:
    assert api.viewer.get("/protocols").headers["cache-control"] == "no-store"
    assert api.with_token(None).get("/protocols").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["//healthz", "//metrics", "//readyz", "//nowhere", "//static/nothing.js"])
def test_responses_are_not_cached_by_default(path: str, api: Api) -> None:
    assert api.with_token(None).get(path).headers["cache-control"] == "no-store"


def test_pages_and_documents_may_be_cached_and_revalidated(api: Api) -> None:
    for path in ("//openapi.json", "//docs", "//static/css/tokens.css"):
        assert "no-cache" in api.with_token(None).get(path).headers["cache-control"]


@pytest.mark.parametrize("path", ["/protocols", "//healthz"])
def test_a_response_to_options_has_neither_body_nor_content_type(path: str, api: Api) -> None:
    answer = api.viewer.call("OPTIONS", path)

    assert (answer.status, answer.body) == (200, b"")
    assert "content-type" not in answer.headers
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/api//v1/agents", "/api/v1//agents", "//api/v1/agents", "/docs/", "/healthz//"])
def test_no_redirect_goes_to_a_host_that_the_caller_names(path: str, app: Flask) -> None:
    answer = app.test_client().get(path, headers={"Host": "evil.example"})

    assert answer.status_code == 404
    assert "evil" not in str(answer.headers)


def test_no_other_origin_may_call_unless_it_is_configured(api: Api) -> None:
    answer = api.viewer.get("/protocols", Origin=STRANGER)

    assert "access-control-allow-origin" not in answer.headers


def test_a_configured_origin_may_call_and_read_what_it_needs(app_with) -> None:
    api = app_with(DASHBOARD_ALLOWED_ORIGINS=FRIEND)

    asked = api.with_token(None).call("OPTIONS", "/protocols", Origin=FRIEND, Access_Control_Request_Method="POST")
    called = api.viewer.get("/protocols", Origin=FRIEND)
    refused = api.viewer.get("/protocols", Origin=STRANGER)

    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == FRIEND
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    assert called.headers["access-control-allow-origin"] == FRIEND
    assert "X-Request-Id" in called.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in called.headers
    assert "access-control-allow-origin" not in refused.headers
    assert refused.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origins", ["app.example", "https://app.example/path", "https://a.example, nul", "javascript:x", "https://*.x"]
)
def test_an_invalid_origin_in_the_settings_stops_the_start(origins: str, environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="DASHBOARD_ALLOWED_ORIGINS"):
        load_config(environment | {"DASHBOARD_ALLOWED_ORIGINS": origins})


def test_allowed_origins_are_compared_in_one_spelling(app_with) -> None:
    api = app_with(DASHBOARD_ALLOWED_ORIGINS="HTTPS://App.Example:443/, capacitor://localhost, null")

    for origin in (FRIEND, "https://APP.example", "capacitor://localhost", "null"):
        assert api.viewer.get("/protocols", Origin=origin).headers["access-control-allow-origin"] == origin
    for origin in (STRANGER, "http://app.example", "https://app.example:8443", "file://", "https://app.example@x"):
        assert "access-control-allow-origin" not in api.viewer.get("/protocols", Origin=origin).headers


def address_of_deposit(api: Api, **headers: str) -> str:
    protocol_id = make_protocol(api)
    api.owner.post(f"/protocols/{protocol_id}/deposits", {"amount": "1"}, **headers).expect(201)
    return api.admin.get(f"/audit?protocolId={protocol_id}").expect(200)["items"][0]["address"]


def test_forwarded_addresses_are_used_only_from_trusted_proxies(app_with) -> None:
    forged = {"X_Forwarded_For": "203.0.113.9, 198.51.100.7"}

    assert address_of_deposit(app_with(), **forged) == "127.0.0.1"
    assert address_of_deposit(app_with(DASHBOARD_TRUSTED_PROXIES="1"), **forged) == "198.51.100.7"


@pytest.mark.parametrize(
    "forged", ["\x1b[31mred", "a" * 3000, "203.0.113.9:x", "[2001:db8::7", "fe80::1%\x1b[31m", "unknown"]
)
def test_an_invalid_forwarded_address_is_ignored(forged: str, app_with) -> None:
    api = app_with(DASHBOARD_TRUSTED_PROXIES="1")

    assert address_of_deposit(api, X_Forwarded_For=forged) == "127.0.0.1"
    assert address_of_deposit(api, X_Forwarded_For="2001:db8::7") == "2001:db8::7"


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("10.0.0.1, 198.51.100.7:80", "198.51.100.7"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_address_is_read_with_its_port_and_brackets(forwarded_for: str, address: str, app_with) -> None:
    assert address_of_deposit(app_with(DASHBOARD_TRUSTED_PROXIES="1"), X_Forwarded_For=forwarded_for) == address


@pytest.mark.parametrize("scheme", ["wss", "https,http", "HTTPS"])
def test_a_forwarded_scheme_of_wss_counts_as_https(scheme: str, app_with) -> None:
    api = app_with(DASHBOARD_TRUSTED_PROXIES="1")
    assert "strict-transport-security" in api.viewer.get("/protocols", X_Forwarded_Proto=scheme).headers


LOCAL = ["localhost", "localhost:5000", "LOCALHOST.:80", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000", "[0:0::1]"]
FOREIGN = [
    "rebound.example", "rebound.example:5000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.5:5000",
    "localhost@evil.example", "[::2]", "0.0.0.0:5000", "evil.example#localhost", "localhost,evil",
]  # fmt: skip


def demo_session(app: Flask, host: str, peer: str = "127.0.0.1"):
    return app.test_client().get("/demo/session", headers={"Host": host}, environ_base={"REMOTE_ADDR": peer})


def test_the_demo_signs_in_only_browsers_of_this_machine(app: Flask, monkeypatch) -> None:
    monkeypatch.setenv("DASHBOARD_DEMO", "1")

    for host in LOCAL:
        assert set(demo_session(app, host).json["roles"]) == {"viewer", "validator", "owner", "admin"}, host
    for host in FOREIGN:
        refused = demo_session(app, host)
        assert (refused.status_code, refused.json["code"]) == (404, "DEMO_OFF"), host
    assert demo_session(app, "localhost", peer="::ffff:127.0.0.1").status_code == 200
    for peer in ("10.0.0.5", "::ffff:10.0.0.5", "2001:db8::1", ""):
        assert demo_session(app, "localhost", peer=peer).status_code == 404, peer


def test_a_page_requested_by_another_host_name_does_not_offer_the_demo(app: Flask, monkeypatch) -> None:
    monkeypatch.setenv("DASHBOARD_DEMO", "1")

    assert b"data-demo" in app.test_client().get("/", headers={"Host": "localhost:5000"}).data
    assert b"data-demo" not in app.test_client().get("/", headers={"Host": "rebound.example"}).data


def test_behind_tls_responses_have_strict_transport_security(app_with) -> None:
    api = app_with(DASHBOARD_TRUSTED_PROXIES="1")

    assert "max-age" in api.viewer.get("/protocols", X_Forwarded_Proto="https").headers["strict-transport-security"]
    assert "strict-transport-security" not in api.viewer.get("/protocols").headers


def test_secrets_do_not_show_when_the_configuration_is_printed(app: Flask, api: Api, environment) -> None:
    deposit(api, make_protocol(api), "1")
    printed = repr(
        load_config(environment | {"PAYOUT_URL": "https://pay.example", "PAYOUT_SECRET": "s3cr3t-0123456789"})
    )

    for secret in (environment["DASHBOARD_SIGNING_KEY"], "s3cr3t", environment["DATABASE_URL"]):
        assert secret not in printed
