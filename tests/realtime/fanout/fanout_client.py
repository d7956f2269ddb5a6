"""A Socket.IO client small enough to see every byte: one blocking socket, text frames, no thread."""

import base64
import json
import os
import socket
import struct
import time

from tests.support.machine_speed import patience


class RawClient:
    def __init__(self, port, auth=None, *, receive_buffer=None, extensions=None, connect=True, sid=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patience(5))
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""
        self.acks = 0
        self.events = []
        self.closed = False
        self._upgrade(port, extensions, f"&sid={sid}" if sid else "")
        if sid:
            return
        self.opened = json.loads(self.packet()[1:])
        if connect:
            self.send("40" + (json.dumps(auth) if auth else ""))
            self.connected = self.packet()

    def _upgrade(self, port, extensions, query):
        key = base64.b64encode(os.urandom(16)).decode()
        more = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        self.socket.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\n{more}\r\n".encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(65536)
        self.head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        assert self.head.startswith(b"HTTP/1.1 101"), self.head

    def send(self, text, opcode=1):
        data = text.encode() if isinstance(text, str) else text
        mask = os.urandom(4)
        size = len(data)
        head = bytes([0x80 | opcode]) + (bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size))
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))

    def frame(self, timeout=None):
        """The next frame as (opcode, payload); (8, b"") when the connection ended; None after `timeout`."""
        deadline = time.monotonic() + (patience(5) if timeout is None else timeout)
        while (frame := self._parse()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 20)
            except TimeoutError:
                return None
            except ConnectionError:
                data = b""
            if not data:
                self.closed = True
                return 8, b""
            self.buffer += data
        return frame

    def _parse(self):
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1], 2
        if size == 126:
            start, size = 4, int.from_bytes(buffer[2:4])
        elif size == 127:
            start, size = 10, int.from_bytes(buffer[2:10])
        if len(buffer) < start or len(buffer) < start + size:
            return None
        self.buffer = buffer[start + size :]
        return buffer[0] & 15, buffer[start : start + size]

    def packet(self, timeout=None):
        """The next Engine.IO packet; pings are answered. None after `timeout`, "" at the end."""
        deadline = time.monotonic() + (patience(5) if timeout is None else timeout)
        while True:
            frame = self.frame(max(0.0, deadline - time.monotonic()))
            if frame is None:
                return None
            opcode, payload = frame
            if opcode == 8:
                self.closed = True
                return ""
            text = payload.decode()
            if text != "2":
                return text
            self.send("3")

    def event(self, timeout=None):
        """The next event as [name, …]; events that came while an ack was awaited come first."""
        if self.events:
            return self.events.pop(0)
        text = self.packet(timeout)
        if not text:
            return text
        assert text.startswith("42"), text
        return json.loads(text[2:])

    def ask(self, *event, timeout=None):
        """Send an event and return its ack."""
        self.acks += 1
        self.send(f"42{self.acks}{json.dumps(event)}")
        while True:
            text = self.packet(timeout)
            assert text, "no ack"
            if text.startswith(f"43{self.acks}"):
                return json.loads(text[2 + len(str(self.acks)) :])[0]
            self.events.append(json.loads(text[2:]))

    def close(self):
        self.socket.close()
