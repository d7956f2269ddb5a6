"""Whose pages may open a connection, and what Engine.IO tells their browsers."""

from typing import Any

import pytest
from engineio import Server
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder

from app.realtime.origins import gate

OWN, FRIEND, STRANGER = "https://dash.example", "https://app.example", "https://evil.example"


def environ(**headers: str) -> dict[str, Any]:
    return EnvironBuilder(base_url=OWN, headers=headers).get_environ()


@pytest.mark.parametrize("allowed", [[], [FRIEND]])
def test_the_own_origin_always_may_and_a_strangers_never(allowed: list[str]) -> None:
    asked = gate(allowed)
    assert asked(OWN, environ())
    assert asked(FRIEND, environ()) is (FRIEND in allowed)
    assert not asked(STRANGER, environ(X_Forwarded_Host="evil.example", X_Forwarded_Proto="https"))
    assert not asked("null", environ())
    assert not asked("http://dash.example", environ())
    assert not asked(OWN + ":8443", environ())


def test_a_star_lets_every_origin_in() -> None:
    assert gate(["*"])(STRANGER, environ())


def answer(origin: str, *, hops: int = 0, **headers: str) -> Any:
    """What a polling client is told by an Engine.IO server behind so many trusted proxies."""
    server = Server(async_mode="threading", cors_allowed_origins=gate([FRIEND]), monitor_clients=False)

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        return server.handle_request(environ, start_response)

    client = Client(ProxyFix(serve, x_for=hops, x_proto=hops, x_host=hops))
    return client.get("/socket.io/?EIO=4&transport=polling", headers={"Origin": origin} | headers)


def test_a_configured_origin_is_named_to_its_browser_and_a_stranger_is_not() -> None:
    assert answer(FRIEND).headers["Access-Control-Allow-Origin"] == FRIEND
    refused = answer(STRANGER)
    assert refused.status_code == 400
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_behind_a_trusted_proxy_the_own_origin_is_the_one_it_tells_of() -> None:
    told = {"X-Forwarded-Host": "dash.example", "X-Forwarded-Proto": "https"}
    assert answer(OWN, hops=1, **told).status_code == 200
    assert answer(OWN, hops=0, **told).status_code == 400
