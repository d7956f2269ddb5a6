"""A client of event streams (Server-Sent Events), on `http.client`, which gives each chunk at once."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any, Self

from tests.support.machine_speed import patience


@dataclass(frozen=True)
class StreamEvent:
    name: str
    id: str | None
    text: str

    @property
    def payload(self) -> Any:
        return json.loads(self.text)


class StreamReader:
    """An open response; `comments` counts the heartbeats. `port` may be that of a proxy."""

    def __init__(
        self,
        port: int,
        protocol_id: str,
        token: str | None = None,
        query: str = "",
        method: str = "GET",
        **headers: str,
    ) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience(20))
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            names["Authorization"] = f"Bearer {token}"
        self.connection.request("GET", f"/api/v1/protocols/{protocol_id}/events{query}", headers=names)
        self.response = self.connection.getresponse()
        self.status, self.comments, self._text = self.response.status, 0, ""

    @property
    def code(self) -> str:
        """The code of a refusal."""
        assert self.response.headers["Content-Type"] == "application/problem+json", self.response.headers
        return json.loads(self.response.read())["code"]

    def next(self, seconds: float = 10) -> StreamEvent | None:
        """The next event; None at the end of the response. Fails after `patience(seconds)`."""
        deadline = time.monotonic() + patience(seconds)
        while True:
            while "\n\n" not in self._text:
                if not self._receive(deadline):
                    return None
            message, _, self._text = self._text.partition("\n\n")
            if (event := self._parse(message)) is not None:
                return event

    def _receive(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        assert left > 0, f"no event; {self._text[:200]!r} so far"
        if self.connection.sock is not None:
            self.connection.sock.settimeout(left)
        data = self.response.read1(65536)
        self._text += data.decode()
        return bool(data)

    def _parse(self, message: str) -> StreamEvent | None:
        fields: dict[str, str] = {}
        for line in message.split("\n"):
            name, colon, value = line.partition(":")
            assert colon, line
            if name:
                assert name not in fields, message
                fields[name] = value.removeprefix(" ")
        if not fields:
            self.comments += 1
            return None
        return StreamEvent(fields["event"], fields.get("id"), fields["data"])

    def close(self) -> None:
        self.response.close()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
