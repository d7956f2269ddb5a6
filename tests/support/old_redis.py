"""A server that answers as a Redis of an old release does."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import hiredis


@contextmanager
def old_redis(version: str) -> Iterator[str]:
    """The URL of a server whose INFO shows this version; every other command is answered OK."""
    information = f"# Server\r\nredis_version:{version}\r\nrun_id:{'0' * 40}\r\n".encode()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            reader = hiredis.Reader()
            while data := self.request.recv(65536):
                reader.feed(data)
                while (command := reader.gets()) is not False:
                    is_info = command[0].upper() == b"INFO"
                    self.request.sendall(b"$%d\r\n%b\r\n" % (len(information), information) if is_info else b"+OK\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        finally:
            server.shutdown()
