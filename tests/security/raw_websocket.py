"""A WebSocket client that can violate the protocol, and the resources of a server process."""

import base64
import json
import os
import re
import socket
import struct
from pathlib import Path
from typing import Self

from tests.support.machine_speed import patience

PATH = "/socket.io/?EIO=4&transport=websocket"
TEXT, BINARY = 1, 2


def connect(port: int, seconds: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=patience(seconds))


def frame(payload: bytes, opcode: int = TEXT, *, first: int | None = None, masked: bool = True) -> bytes:
    """A client's frame; `first` replaces its first byte."""
    head = bytes([first if first is not None else 0x80 | opcode])
    flag = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([flag | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([flag | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", len(payload))
    return head + (b"\x00\x00\x00\x00" if masked else b"") + payload


def receive_all(sock: socket.socket) -> bytes:
    """Everything received until the peer closes. Raises TimeoutError, and ConnectionResetError on a reset."""
    received = b""
    while data := sock.recv(1 << 20):
        received += data
    return received


def close_code_of(received: bytes) -> int:
    """The code of the close frame, which must be the last frame received."""
    assert received[-4:-2] == b"\x88\x02", received[-100:]
    return int.from_bytes(received[-2:])


class WebSocket:
    """An open WebSocket; with a token it is also connected to the namespace `/`."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.sock = connect(port)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        assert answer.startswith(b"HTTP/1.1 101"), answer
        if token is not None:
            self.text("40" + json.dumps({"token": token}))
            self.wait_for(b"40{")

    def text(self, payload: str) -> None:
        self.raw(frame(payload.encode("utf-8", "surrogatepass")))

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait_for(self, part: bytes) -> bytes:
        """The received bytes up to and including `part`. Raises OSError if the server closes the connection first."""
        received = b""
        while part not in received:
            received += self._receive()
        return received

    def _receive(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data

    @property
    def is_open(self) -> bool:
        """Whether the server keeps the connection open; discards what it sent."""
        self.sock.setblocking(False)
        try:
            while self.sock.recv(65536):
                pass
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.sock.settimeout(5)
        return False

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def memory_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


CLOSED = "0"  # the inode of a socket that no process holds


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def holds(server_port: int, client: socket.socket) -> bool:
    """Whether the server still has its end of this connection open, also when it has shut it down."""
    ends = (f":{server_port:04X}", f":{client.getsockname()[1]:04X}")
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return any((row[1][-5:], row[2][-5:]) == ends and row[9] != CLOSED for row in rows)
