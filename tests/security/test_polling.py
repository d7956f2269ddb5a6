"""Engine.IO 4 long polling: chunked bodies, many packets in a body, one request of each kind at a time."""

import json
import subprocess

import pytest

from tests.security.raw_http import Reply, chunked, exchange, request
from tests.security.raw_websocket import WebSocket, connect, receive_all
from tests.support.node import client_modules, node_binary
from tests.support.processes import until
from tests.support.stack import Stack

POLLING = "/socket.io/?EIO=4&transport=polling"
CHUNKS = "Transfer-Encoding: chunked"
SEPARATOR = b"\x1e"
EVENTS_PER_SECOND = 50


class Session:
    """A polling session, connected to the namespace `/`."""

    def __init__(self, stack: Stack) -> None:
        self.port = stack.port
        self.target = f"{POLLING}&sid={json.loads(exchange(stack.port, request(POLLING)).body[1:])['sid']}"
        self.post(b"40" + json.dumps({"token": stack.api.token("viewer")}).encode())
        assert self.get().body.startswith(b"40{")

    def get(self) -> Reply:
        return exchange(self.port, request(self.target))

    def post(self, body: bytes) -> Reply:
        return exchange(self.port, request(self.target, f"Content-Length: {len(body)}", body=body, method="POST"))

    def post_chunked(self, body: bytes, size: int = 7) -> Reply:
        parts = (body[at : at + size] for at in range(0, len(body), size))
        return exchange(self.port, request(self.target, CHUNKS, body=chunked(*parts), method="POST"))

    @property
    def is_open(self) -> bool:
        return self.post(b"3").status == 200


def events(count: int) -> bytes:
    return SEPARATOR.join(b'42%d["protocol:leave"]' % number for number in range(count))


def acks(session: Session, count: int) -> list[bytes]:
    packets: list[bytes] = []
    while len(packets) < count:
        packets += [packet for packet in session.get().body.split(SEPARATOR) if packet.startswith(b"43")]
    return packets


@pytest.fixture
def session(stack: Stack) -> Session:
    return Session(stack)


def test_a_chunked_body_is_accepted(session: Session, no_leaks) -> None:
    reply = session.post_chunked(events(3))

    assert (reply.status, reply.body) == (200, b"ok")
    assert acks(session, 3) == [b'43%d[{"ok":true}]' % number for number in range(3)]


PROXY = """
const http = require("http");
const {{ io }} = require("socket.io-client");
const proxy = http.createServer((from, answer) => {{
    delete from.headers["content-length"];  // so that Node sends the body in chunks
    const options = {{ port: {port}, path: from.url, method: from.method, headers: from.headers }};
    const pass = (reply) => {{ answer.writeHead(reply.statusCode, reply.headers); reply.pipe(answer); }};
    from.pipe(http.request(options, pass));
}}).listen(0, "127.0.0.1", async () => {{
    const url = `http://127.0.0.1:${{proxy.address().port}}`;
    const client = io(url, {{ auth: {{ token: "{token}" }}, transports: ["polling"] }});
    client.on("connect_error", (error) => {{ console.log(error.message); process.exit(1); }});
    console.log(JSON.stringify(await client.timeout(20000).emitWithAck("protocol:leave")));
    process.exit(0);
}});
"""


def test_the_official_client_can_poll_through_a_proxy_that_sends_chunked_bodies(stack: Stack) -> None:
    script = PROXY.format(port=stack.port, token=stack.api.token("viewer"))

    ended = subprocess.run(
        [node_binary(), "-e", script], capture_output=True, text=True, timeout=60, cwd=client_modules(), check=False
    )

    assert ended.stdout.strip() == '{"ok":true}', ended


@pytest.mark.parametrize("size", [16, 17, EVENTS_PER_SECOND])
def test_one_body_may_hold_all_events_that_are_allowed_in_a_second(size: int, session: Session) -> None:
    assert session.post(events(size)).status == 200
    assert len(acks(session, size)) == size


def test_events_beyond_the_allowance_are_rejected_one_by_one(session: Session) -> None:
    assert session.post(events(3 * EVENTS_PER_SECOND)).status == 200

    refused = [ack for ack in acks(session, 3 * EVENTS_PER_SECOND) if b"RATE_LIMITED" in ack]
    assert EVENTS_PER_SECOND <= len(refused) <= 2 * EVENTS_PER_SECOND
    assert session.is_open


MALFORMED = {
    "too many packets": SEPARATOR.join([b"3"] * 9000),
    "too long": b"4" * 70_000,
    "not packets": b"zzz\x1e{",
    "not UTF-8": b"\xff\xfe",
    "an empty packet": b"3\x1e\x1e3",
    "a form field": b"d=3",
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_body_is_rejected_with_400_and_ends_the_session(case: str, framing: str, session: Session) -> None:
    reply = session.post(MALFORMED[case]) if framing == "length" else session.post_chunked(MALFORMED[case], 5000)

    assert (reply.status, reply.json) == (400, {"code": 3, "message": "Bad request"})
    assert session.get().json == {"code": 1, "message": "Session ID unknown"}


@pytest.mark.parametrize("body", [b"zz\r\n", b"2;" + b"a" * 5000, b"1\r\n40\r\n0\r\n\r\n"])
def test_malformed_chunks_are_rejected_with_400_and_end_the_session(body: bytes, session: Session) -> None:
    assert exchange(session.port, request(session.target, CHUNKS, body=body, method="POST")).status == 400
    assert not session.is_open


def test_a_second_poll_ends_the_session(session: Session, no_leaks) -> None:
    with connect(session.port, 20) as first:
        first.sendall(request(session.target))
        until(lambda: session.get().status == 400, 10, "a second poll is refused")
        assert first.recv(65536).endswith(b"\r\n\r\n1")
    assert not session.is_open


def test_a_second_post_ends_the_session(session: Session, no_leaks) -> None:
    with connect(session.port, 20) as first:
        first.sendall(request(session.target, "Content-Length: 5", body=b"3", method="POST"))
        until(lambda: session.post(b"3").status == 400, 10, "a second body is refused")
    assert not session.is_open


@pytest.mark.parametrize(
    ("target", "method", "code"),
    [
        ("/socket.io/?EIO=4", "GET", 0),
        ("/socket.io/?EIO=4&transport=", "GET", 0),
        ("/socket.io/?EIO=4&transport=carrier-pigeon", "GET", 0),
        ("/socket.io/?EIO=3&transport=polling", "GET", 5),
        ("/socket.io/?transport=polling", "GET", 5),
        (f"{POLLING}&sid=x", "GET", 1),
        (f"{POLLING}&sid=x", "POST", 1),
        (POLLING, "POST", 2),
        (POLLING, "PUT", 2),
        (f"{POLLING}&sid=x", "DELETE", 2),
    ],
)
def test_a_request_that_violates_the_protocol_gets_the_error_of_engine_io(
    target: str, method: str, code: int, stack: Stack
):
    reply = exchange(stack.port, request(target, method=method))

    assert (reply.status, reply.json["code"]) == (400, code)
    assert reply.json["message"]


@pytest.mark.parametrize(
    ("target", "method"), [(POLLING, "GET"), (POLLING, "OPTIONS"), (f"{POLLING}&sid=x", "GET"), (POLLING, "BREW")]
)
def test_every_polling_response_has_the_security_headers(target: str, method: str, stack: Stack) -> None:
    headers = exchange(stack.port, request(target, "X-Request-Id: r-1", method=method)).headers

    assert headers["x-request-id"] == "r-1"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert exchange(stack.port, request(target, method=method)).headers["x-request-id"]


def test_the_second_websocket_of_a_session_is_closed(stack: Stack, session: Session, no_leaks) -> None:
    fields = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
    )
    upgrade = request(session.target.replace("polling", "websocket"), *fields)
    with connect(stack.port, 20) as first, connect(stack.port, 20) as second:
        first.sendall(upgrade)
        assert first.recv(65536).startswith(b"HTTP/1.1 101 ")
        second.sendall(upgrade)
        assert receive_all(second).endswith(b"\x88\x02\x03\xf0")
    assert session.is_open


def test_an_unknown_namespace_is_rejected_with_an_error_object(stack: Stack) -> None:
    with WebSocket(stack.port, stack.api.token("viewer")) as client:
        client.text("40/random,{}")
        client.wait_for(b'44/random,{"message":"Invalid namespace"}')
        client.text('428["protocol:leave"]')
        client.wait_for(b'438[{"ok":true}]')


@pytest.mark.parametrize(
    "packet", ['42["protocol:leave"]', '421["x"]', "430[]", '451-["x",{"_placeholder":true,"num":0}]']
)
def test_an_event_before_connect_closes_the_connection(packet: str, stack: Stack, no_leaks) -> None:
    with WebSocket(stack.port) as client:
        client.text(packet)
        with pytest.raises(ConnectionResetError, match="the server closed"):
            client.wait_for(b"never")


@pytest.mark.parametrize("number", ["-1", "1", "true", '"0"', "0.0", "null", "99999999999999999999"])
def test_a_placeholder_without_its_attachment_closes_the_connection(number: str, stack: Stack, no_leaks) -> None:
    logged = len(stack.log)
    with WebSocket(stack.port, stack.api.token("viewer")) as client:
        client.text(f'451-7["protocol:join",{{"_placeholder":true,"num":{number}}}]')
        client.raw(bytes((0x82, 0x81)) + bytes(4) + b"x")
        with pytest.raises(ConnectionResetError, match="the server closed"):
            client.wait_for(b"437")
    assert "Traceback" not in stack.log[logged:]
