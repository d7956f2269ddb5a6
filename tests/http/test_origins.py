"""Which origins may open a connection, and the responses of Engine.IO to them."""

from typing import Any

import pytest
from engineio import Server
from werkzeug.test import Client, EnvironBuilder

from app.config.addresses import normalized
from app.http.middleware import read_forwarded
from app.http.responses import origin_check

OWN, FRIEND, STRANGER = "https://dash.example", "https://app.example", "https://evil.example"


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("HTTPS://Dash.Example:443", "https://dash.example"),
        ("http://dash.example:080/", "http://dash.example"),
        ("https://dash.example.:8443", "https://dash.example:8443"),
        ("wss://dash.example", "https://dash.example"),
        ("ws://dash.example:80", "http://dash.example"),
        ("https://dash.example:80", "https://dash.example:80"),
        ("http://[2001:DB8:0:0::1]:80", "http://[2001:db8::1]"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("file://", "file://"),
        ("null", "null"),
    ],
)
def test_an_origin_has_one_spelling(written: str, origin: str) -> None:
    assert normalized(written) == origin
    assert normalized(origin) == origin


NO_ORIGINS = [
    "", "dash.example", "https://", "https://x/path", "https://x?q", "https://u@x", "https://*.x", "https://a b",
    "https://x:0", "https://x:65536", "https://x:y", "http://[::1", "http://[x]", "javascript:x", "https://a;b",
    "https://a,https://b", "https://a..b", "https://x\n", "http://" + "é" * 300,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_ORIGINS)
def test_an_invalid_origin_is_rejected_with_the_right_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not like https://app\.example"):
        normalized(text)


def environ(base_url: str = OWN, **headers: str) -> dict[str, Any]:
    return EnvironBuilder(base_url=base_url, headers=headers).get_environ()


@pytest.mark.parametrize("allowed", [[], [FRIEND]])
def test_the_own_origin_is_always_allowed_and_unlisted_ones_never(allowed: list[str]) -> None:
    asked = origin_check(allowed)
    assert asked(OWN, environ())
    assert asked(FRIEND, environ()) is (FRIEND in allowed)
    assert not asked(STRANGER, environ(X_Forwarded_Host="evil.example", X_Forwarded_Proto="https"))
    assert not asked("null", environ())
    assert not asked("http://dash.example", environ())
    assert not asked(OWN + ":8443", environ())
    assert not asked(OWN + "@evil.example", environ())


@pytest.mark.parametrize("host", ["dash.example", "dash.example:443", "DASH.example", "dash.example."])
@pytest.mark.parametrize("origin", [OWN, "https://dash.example:443", "wss://dash.example", "HTTPS://Dash.Example"])
def test_the_own_origin_is_allowed_in_any_spelling(host: str, origin: str) -> None:
    assert origin_check([])(origin, environ() | {"HTTP_HOST": host})


def test_an_ipv6_address_is_an_origin_too() -> None:
    assert origin_check([])("http://[::1]:5000", environ("http://[0:0::1]:5000"))
    assert not origin_check([])("http://[::1]:5001", environ("http://[::1]:5000"))


@pytest.mark.parametrize(
    "origin", ["capacitor://localhost", "tauri://localhost", "null", "file://", "http://[::1]:3000"]
)
def test_apps_and_opaque_origins_are_allowed_when_listed(origin: str) -> None:
    assert origin_check([origin])(origin, environ())
    assert not origin_check([FRIEND])(origin, environ())


@pytest.mark.parametrize("host", ["", "dash.example,evil.example", "a b", "["])
def test_an_invalid_host_is_never_the_own_origin(host: str) -> None:
    assert not origin_check([])(OWN, environ() | {"HTTP_HOST": host})
    assert not origin_check([])(f"https://{host}", environ() | {"HTTP_HOST": host})


def test_a_star_allows_every_origin() -> None:
    assert origin_check(["*"])(STRANGER, environ())


def answer(origin: str, *, hops: int = 0, **headers: str) -> Any:
    """The response that a polling client gets from an Engine.IO server behind so many trusted proxies."""
    server = Server(async_mode="threading", cors_allowed_origins=origin_check([FRIEND]), monitor_clients=False)

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if hops:
            read_forwarded(environ, hops)
        return server.handle_request(environ, start_response)

    return Client(serve).get("/socket.io/?EIO=4&transport=polling", headers={"Origin": origin} | headers)


def test_a_configured_origin_gets_cors_headers_and_another_does_not() -> None:
    assert answer(FRIEND).headers["Access-Control-Allow-Origin"] == FRIEND
    refused = answer(STRANGER)
    assert refused.status_code == 400
    assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize("scheme", ["https", "wss", "HTTPS", "https,http", "wss, ws"])
def test_the_scheme_comes_from_a_trusted_proxy(scheme: str) -> None:
    forwarded = {"Host": "dash.example", "X-Forwarded-Proto": scheme}
    assert answer(OWN, hops=1, **forwarded).status_code == 200
    assert answer(OWN, hops=0, **forwarded).status_code == 400


def test_a_forwarded_host_is_ignored() -> None:
    spoofed = {"Host": "dash.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example;proto=https"}
    for hops in (0, 1):
        assert answer(STRANGER, hops=hops, **{"X-Forwarded-Proto": "https"}, **spoofed).status_code == 400
