"""A client of the REST API with tokens of any role, for an app in this process and for a running system."""

import contextlib
import gzip
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

import jwt
import requests
from flask import Flask

from tests.support import documents
from tests.support.machine_speed import patience

BASE = "/api/v1"


def mint(
    key: str, role: str, *, protocols: Any = ("*",), sub: str | None = None, ttl: float = 3600, **claims: Any
) -> str:
    """A token as described by the contract, made without the code under test."""
    now = int(time.time())
    body = {"sub": sub or f"{role}-1", "role": role, "protocols": list(protocols), "jti": uuid.uuid4().hex}
    body |= {"iat": now, "exp": now + ttl} | claims
    return jwt.encode({name: value for name, value in body.items() if value is not None}, key, algorithm="HS256")


@dataclass(frozen=True)
class Answer:
    """One decompressed response; header names are lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The stable code of a problem response."""
        assert self.headers["content-type"].startswith("application/problem+json"), self
        return self.json["code"]

    def expect(self, status: int) -> Any:
        """The parsed body, after checking the status."""
        assert self.status == status, f"{self.status} instead of {status}: {self.body[:2000]!r}"
        return json.loads(self.body) if self.body else None


class Transport(Protocol):
    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer: ...


class InProcess:
    def __init__(self, app: Flask) -> None:
        self.client = app.test_client(use_cookies=False)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        response = self.client.open(path, method=method, data=body, headers=headers)
        names = {name.lower(): value for name, value in response.headers}
        sent = response.get_data()
        return Answer(response.status_code, gzip.decompress(sent) if "content-encoding" in names else sent, names)


class OverHttp:
    """Sends over one kept-alive connection; not for use by several threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        response = self.session.request(method, self.url + path, data=body, headers=headers, timeout=patience(30))
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, response.content, names)


class Caller:
    """Calls `/api/v1…` with a token or none; a path that begins with `//` is absolute."""

    def __init__(self, transport: Transport, token: str | None) -> None:
        self.transport = transport
        self.token = token

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send `body` as JSON, or unchanged if it is bytes. `Idempotency_Key=…` becomes a header."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            names.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            names.setdefault("Content-Type", "application/json")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        full = path[1:] if path.startswith("//") else BASE + path
        answer = self.transport.send(method, full, data, names)
        self._validate(method, full, answer)
        return answer

    def _validate(self, method: str, path: str, answer: Answer) -> None:
        """Validate the response against the OpenAPI document, which is fetched once."""
        if not documents.is_known():
            with contextlib.suppress(requests.RequestException):  # the test may have broken the server
                document = self.transport.send("GET", "/openapi.json", None, {})
                if document.status == HTTPStatus.OK:
                    documents.use(document.json)
        if documents.is_known():
            content_type = answer.headers.get("content-type", "")
            documents.validate_response(method, path, answer.status, content_type, answer.body)

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)


class Api:
    """Creates callers of every role: `api.owner`, `api.as_("agent", sub="A1", protocols=["P1"])`."""

    def __init__(self, transport: Transport, signing_key: str) -> None:
        self.transport = transport
        self.signing_key = signing_key

    def token(self, role: str, **claims: Any) -> str:
        return mint(self.signing_key, role, **claims)

    def as_(self, role: str, **claims: Any) -> Caller:
        return Caller(self.transport, self.token(role, **claims))

    def with_token(self, token: str | None) -> Caller:
        return Caller(self.transport, token)

    @property
    def admin(self) -> Caller:
        return self.as_("admin")

    @property
    def owner(self) -> Caller:
        return self.as_("owner")

    @property
    def validator(self) -> Caller:
        return self.as_("validator")

    @property
    def viewer(self) -> Caller:
        return self.as_("viewer")

    def agent(self, agent_id: str, protocols: Any = ("*",)) -> Caller:
        return self.as_("agent", sub=agent_id, protocols=protocols)
