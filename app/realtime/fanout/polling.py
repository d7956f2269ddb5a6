"""An Engine.IO connection over HTTP long-polling (Engine.IO protocol 4): one GET and one POST at a time.

python-engineio's own connection allows concurrent requests and only 16 packets per body.
"""

from typing import Any

from engineio import exceptions, packet
from engineio.socket import Socket

SEPARATOR = "\x1e"


class PollingSocket(Socket):  # type: ignore[misc]
    server: Any
    queue: Any
    closed: bool
    closing: bool
    upgrading: bool

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self._is_polling = self._is_posting = self._closed_by_client = False

    def count_packet(self, size: int) -> bool:
        """Count a received packet; False when the connection was closed for sending too many."""
        raise NotImplementedError

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        del wait  # the client may never poll again
        if not (self.closed or self.closing):
            self._closed_by_client = reason == self.server.reason.CLIENT_DISCONNECT
        super().close(wait=False, abort=abort, reason=reason)

    def poll(self) -> list[packet.Packet]:
        """As in python-engineio, but the last poll has a packet: NOOP if the client closed the session, else CLOSE."""
        return super().poll() or [packet.Packet(packet.NOOP if self._closed_by_client else packet.CLOSE)]

    def handle_get_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        if "HTTP_UPGRADE" in environ or self.upgrading:
            return super().handle_get_request(environ, start_response)
        self._refuse_concurrent(self._is_polling)
        self._is_polling = True
        try:
            return super().handle_get_request(environ, start_response)
        finally:
            self._is_polling = False

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Handle the packets of a body. Raises EngineIOError, which ends the session and is answered with 400."""
        self._refuse_concurrent(self._is_posting)
        self._is_posting = True
        try:
            self._receive_all(_read_payload(environ, self.server.max_http_buffer_size))
        except (ValueError, LookupError, OSError) as error:
            raise exceptions.EngineIOError from error
        finally:
            self._is_posting = False

    def _refuse_concurrent(self, is_in_progress: bool) -> None:
        if is_in_progress:
            self.close(reason=self.server.reason.TRANSPORT_ERROR)
            raise exceptions.EngineIOError

    def _receive_all(self, payload: str) -> None:
        encoded_packets = payload.split(SEPARATOR) if payload else []
        if len(encoded_packets) > self.server.packets_per_second:
            raise ValueError("too many packets")
        for encoded in encoded_packets:
            if self.closed:
                return
            if not self.count_packet(len(encoded)):
                raise exceptions.EngineIOError
            self.receive(packet.Packet(encoded_packet=encoded))


def _read_payload(environ: dict[str, Any], max_bytes: int) -> str:
    """The body of a POST, chunked or not. Raises ValueError, OSError, ContentTooLongError."""
    is_chunked = "HTTP_TRANSFER_ENCODING" in environ
    length = max_bytes + 1 if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
    if length > max_bytes and not is_chunked:
        raise exceptions.ContentTooLongError
    body = environ["wsgi.input"].read(length)
    if len(body) > max_bytes:
        raise exceptions.ContentTooLongError
    if len(body) < length and not is_chunked:
        raise ValueError("the body is shorter than its Content-Length")
    return str(body, "utf-8")
