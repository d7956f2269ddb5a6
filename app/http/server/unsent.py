"""Answers that a client does not read: released at once when writing fails, not when the garbage collector comes by.

eventlet's hub keeps the TimeoutError that it raises in a frame of that error's own traceback: a cycle that holds all
frames down to the answer's body (10 MB a second under 40 clients that do not read).
"""

import contextlib
import socket
from collections.abc import Iterable, Iterator
from typing import Any


class ReleasesUnsent:
    """Comes before an HTTP handler that has a `wfile`."""

    connection: Any
    wfile: Any

    def setup(self) -> None:
        super().setup()  # type: ignore[misc]
        self.wfile = _Output(self.wfile, self.connection)


class _Output:
    """A connection's output. After a failure it is shut: another try would hold the bytes until it times out too."""

    def __init__(self, file: Any, connection: Any) -> None:
        self._file, self._connection = file, connection

    def write(self, data: bytes) -> None:
        with self._failing_once():
            self._file.write(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        with self._failing_once():
            self._file.writelines(lines)

    def flush(self) -> None:
        with self._failing_once():
            self._file.flush()

    @contextlib.contextmanager
    def _failing_once(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            error.__traceback__ = None  # breaks the cycle
            raise ConnectionAbortedError(f"the client does not read: {error}") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
