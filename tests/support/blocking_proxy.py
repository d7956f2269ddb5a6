"""A proxy in front of a running system that refuses Socket.IO, as some in companies do; everything else passes."""

import socket
import threading
from typing import Self

BLOCKED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PIECE = 65_536


class BlockingProxy:
    """Started by `with`. A WebSocket has a connection of its own, so the first line of each connection decides."""

    def __init__(self, upstream_port: int) -> None:
        self.is_blocking = True
        self.blocked = 0
        self._upstream = ("127.0.0.1", upstream_port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        first = client.recv(PIECE)
        if self.is_blocking and first.startswith(b"GET /socket.io"):
            self.blocked += 1
            client.sendall(BLOCKED)
            client.close()
            return
        server = socket.create_connection(self._upstream)
        server.sendall(first)
        threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
        self._pass_on(server, client)

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        try:
            while piece := source.recv(PIECE):
                target.sendall(piece)
        except OSError:
            pass
        for each in (source, target):
            each.close()
