"""The load: thousands of raw WebSocket clients in one epoll loop. Commands and answers are lines of JSON.

It does not parse frames: all events of a run have the same length, so the number of bytes gives the number of events.
Streams join events that come together into one chunk, so there the events are counted.
The age of the newest event of each read is taken by the monotonic clock, which all processes of a machine share.
"""

import base64
import json
import os
import select
import socket
import sys
import time

REQUEST = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36\r\n"
    b"Origin: http://127.0.0.1:%d\r\nAccept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\n"
)
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
STREAM_REQUEST = (
    b"GET /api/v1/protocols/bench/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n\r\n"
)
TOGETHER = 50
AT = b'"at":"'
AT_DIGITS = 20


class Clients:
    def __init__(self):
        self.poll = select.epoll()
        self.sockets = {}
        self.tails = {}  # of streams: the last bytes of the last read, which may hold the beginning of a mark
        self.offer = OFFER

    def connect(self, port, count, offer=True, tokens=("",), stream=False):
        """Open connections, some at a time, each up to the answer to its CONNECT packet, or up to its state.

        They use the tokens in turn.
        """
        self.offer = OFFER if offer else b""
        for first in range(0, count, TOGETHER):
            numbers = range(first, min(first + TOGETHER, count))
            chosen = [tokens[number % len(tokens)] for number in numbers]
            some = [(self._start(port, token if stream else ""), token) for token in chosen]
            for client, token in some:
                if stream:
                    self._await(client, b"\n\n\r\n")
                    self._keep(client)
                    self.tails[client.fileno()] = b""
                    continue
                self._await(client, b'0{"sid"')
                auth = json.dumps({"token": token, "protocolId": "bench"}) if token else ""
                client.sendall(masked_frame("40" + auth))
            for client, _ in some if not stream else ():
                self._await(client, b'40{"sid"')
                self._keep(client)
        return {"connected": len(self.sockets)}

    def _start(self, port, stream_token):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        if stream_token:
            client.sendall(STREAM_REQUEST % (port, stream_token.encode()))
            return client
        client.sendall(REQUEST % (port, base64.b64encode(os.urandom(16)), port) + self.offer + b"\r\n")
        return client

    def _await(self, client, mark):
        seen = b""
        while mark not in seen:
            data = client.recv(4096)
            if not data:
                raise ConnectionError(f"the server closed the connection after {seen!r}")
            seen += data

    def _keep(self, client):
        client.setblocking(False)
        self.sockets[client.fileno()] = client
        self.poll.register(client, select.EPOLLIN)

    def receive(self, events, seconds, quiet=None):
        """Read until every client has `events` events, or `seconds` have passed; ages in milliseconds."""
        expected, received, length = events * len(self.sockets), 0, 0
        ages, deadline, last = [], time.monotonic() + seconds, 0.0
        cpu, began = time.process_time(), time.monotonic()
        sockets, buffer = self.sockets, bytearray(1 << 20)
        view = memoryview(buffer)
        total = counted = 0
        while (not length or received < expected) and time.monotonic() < deadline:
            for fileno, _ in self.poll.poll(0.2):
                size = sockets[fileno].recv_into(view)
                if not size:
                    raise ConnectionError("the server closed a connection")
                now = time.monotonic_ns()
                at = buffer.rfind(AT, 0, size)
                if at >= 0 and at + 6 + AT_DIGITS <= size:
                    ages.append((now - int(buffer[at + 6 : at + 6 + AT_DIGITS])) / 1e6)
                    length = length or frame_length(buffer)
                if self.tails:
                    seen = self.tails[fileno] + buffer[:size]
                    self.tails[fileno] = bytes(seen[-len(AT) + 1 :])
                    counted += seen.count(AT)
                total += size
                last = now
            received = counted or (total // length if length else 0)
        busy = (time.process_time() - cpu) / max(time.monotonic() - began, 1e-9)
        return {"received": received, "expected": expected, "ages": sample(ages), "last": last, "busy": busy}

    def close(self):
        for client in self.sockets.values():
            client.close()
        self.sockets.clear()
        return {}


def masked_frame(text):
    """A text frame with the mask 0."""
    size = len(text)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
    return head + bytes(4) + text.encode()


def frame_length(buffer):
    size = buffer[1]
    return 2 + size if size < 126 else 4 + int.from_bytes(buffer[2:4])


def sample(ages):
    ages.sort()
    if not ages:
        return {}
    return {"p50": ages[len(ages) // 2], "p99": ages[int(len(ages) * 0.99)], "max": ages[-1]}


def main():
    clients = Clients()
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        print(json.dumps(getattr(clients, name)(**command)), flush=True)


main()
