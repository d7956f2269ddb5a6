"""An Engine.IO connection over polling (Engine.IO protocol 4, HTTP long-polling): one GET and one POST at a time."""

from typing import Any

from engineio import exceptions, packet
from engineio.socket import Socket

QUEUE_PACKETS = 2000
SEPARATOR = "\x1e"


class PollingSocket(Socket):  # type: ignore[misc]
    """python-engineio's connection, which lets concurrent requests through and takes 16 packets in a body."""

    server: Any
    queue: Any
    closed: bool
    closing: bool
    upgrading: bool

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        self._polling = self._posting = self._was_left = False

    def may_send_on(self, size: int) -> bool:
        """Count a packet; False when the client was ended for sending far too many."""
        raise NotImplementedError

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        del wait
        if not (self.closed or self.closing):
            self._was_left = reason == self.server.reason.CLIENT_DISCONNECT
        super().close(wait=False, abort=abort, reason=reason)  # waiting is for a client that may never poll again

    def poll(self) -> list[packet.Packet]:
        """As in python-engineio; the last poll of a session says so: NOOP to who closed it, CLOSE to others."""
        return super().poll() or [packet.Packet(packet.NOOP if self._was_left else packet.CLOSE)]

    def handle_get_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        if "HTTP_UPGRADE" in environ or self.upgrading:
            return super().handle_get_request(environ, start_response)
        self._refuse_second(self._polling)
        self._polling = True
        try:
            return super().handle_get_request(environ, start_response)
        finally:
            self._polling = False

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Handle the packets of a body, which may come in chunks. Raises EngineIOError: 400, and the session's end."""
        self._refuse_second(self._posting)
        self._posting = True
        try:
            self._receive_all(_read_payload(environ, self.server.max_http_buffer_size))
        except (ValueError, LookupError, OSError) as error:
            raise exceptions.EngineIOError from error
        finally:
            self._posting = False

    def _refuse_second(self, is_under_way: bool) -> None:
        if is_under_way:
            self.close(reason=self.server.reason.TRANSPORT_ERROR)
            raise exceptions.EngineIOError

    def _receive_all(self, payload: str) -> None:
        encoded_packets = payload.split(SEPARATOR) if payload else []
        if len(encoded_packets) > self.server.packets_per_second:
            raise ValueError("too many packets")
        for encoded in encoded_packets:
            if self.closed:
                return
            if not self.may_send_on(len(encoded)):
                raise exceptions.EngineIOError
            self.receive(packet.Packet(encoded_packet=encoded))


def _read_payload(environ: dict[str, Any], most: int) -> str:
    """The body of a POST. Raises ValueError, OSError, ContentTooLongError."""
    is_chunked = "HTTP_TRANSFER_ENCODING" in environ
    length = most + 1 if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
    body = b"" if length > most and not is_chunked else environ["wsgi.input"].read(length)
    if max(len(body), 0 if is_chunked else length) > most:
        raise exceptions.ContentTooLongError
    if len(body) < length and not is_chunked:
        raise ValueError("the body was cut off")
    return str(body, "utf-8")
