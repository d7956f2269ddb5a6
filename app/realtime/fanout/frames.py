"""WebSocket frames as bytes (RFC 6455), without extensions: written whole, read from any cutting of the stream."""

import sys
import time
from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NORMAL, GOING_AWAY, PROTOCOL_ERROR, INVALID_TEXT, POLICY_VIOLATION, TOO_BIG, SERVER_ERROR = (
    1000, 1001, 1002, 1007, 1008, 1009, 1011,
)  # fmt: skip
CONTROL_BYTES = 125
MAX_FRAGMENTS = 1024
CONTROL_COST = 20  # of a control frame, where an empty data frame costs 1: a client has no use for many
BYTES_PER_COST = 2048
_FIN = 0x80
_MASKED = 0x80
_CLOSE_CODES = {*range(1000, 1004), *range(1007, 1012), *range(3000, 5000)}


class FrameError(Exception):
    """The peer broke the protocol; `code` is the close code that tells it so."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One unmasked frame, as servers send them."""
    size = len(payload)
    if size <= CONTROL_BYTES:
        head = bytes((_FIN | opcode, size))
    elif size < 1 << 16:
        head = bytes((_FIN | opcode, 126)) + size.to_bytes(2)
    else:
        head = bytes((_FIN | opcode, 127)) + size.to_bytes(8)
    return head + payload


def packet_frame(packet: str | bytes) -> bytes:
    """The frame of an encoded Engine.IO packet: text, or binary for bytes."""
    return frame(packet.encode()) if isinstance(packet, str) else frame(packet, BINARY)


def close_frame(code: int | None = None) -> bytes:
    return frame(b"" if code is None else code.to_bytes(2), CLOSE)


def close_answer(payload: bytes) -> bytes:
    """The answer to a close frame: its own code, or the code of what is wrong with it."""
    if not payload:
        return close_frame(1000)
    code = int.from_bytes(payload[:2])
    valid = len(payload) > 1 and code in _CLOSE_CODES and _is_text(payload[2:])
    return close_frame(code if valid else PROTOCOL_ERROR)


def unmask(payload: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask, as two large numbers: no loop over bytes."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class FrameReader:
    """Turns the bytes of a client into messages: (TEXT, str), (BINARY, bytes) and control frames (opcode, bytes).

    Every frame counts, also one that is no message: `budget` is what may come in a second, in small data frames.
    """

    __slots__ = (
        "_at", "_budget", "_buffer", "_max_length", "_opcode", "_parts", "_second", "_size", "_spent", "has_more",
    )  # fmt: skip

    def __init__(self, max_length: int, budget: int = sys.maxsize) -> None:
        self._max_length = max_length
        self._budget = budget
        self._second = self._spent = 0
        self._buffer = b""
        self._at = 0
        self._opcode = 0
        self._parts: list[bytes] | None = None
        self._size = 0
        self.has_more = False

    def feed(self, data: bytes, most: int = sys.maxsize) -> Iterator[tuple[int, str | bytes]]:
        """Read at most `most` frames; `has_more` then tells whether a next call, without data, may find another.

        Raises FrameError where the client breaks the protocol or sends too much; what came before is yielded first.
        """
        self._buffer += data
        self.has_more = False
        if (second := int(time.monotonic())) != self._second:
            self._second, self._spent = second, 0
        for _ in range(most):
            found = self._next_frame()
            if found is None:
                break
            self._spent += CONTROL_COST if found[0] & 8 else 1 + len(found[2]) // BYTES_PER_COST
            if self._spent > self._budget:
                raise FrameError(POLICY_VIOLATION, "More frames in a second than anybody needs.")
            message = self._message(*found)
            if message is not None:
                yield message
        else:
            self.has_more = True
        self._buffer, self._at = self._buffer[self._at :], 0  # a silent connection keeps no message of long ago

    def _next_frame(self) -> tuple[int, bool, bytes] | None:
        buffer, at = self._buffer, self._at
        if len(buffer) < at + 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        self._check_head(first, second)
        size, start = second & 0x7F, at + 2
        if size > CONTROL_BYTES:
            start += 2 if size == 126 else 8  # noqa: PLR2004 - RFC 6455, 5.2
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[at + 2 : start])
        if not first & 8 and size + self._size > self._max_length:  # a control frame is no part of the message
            raise FrameError(TOO_BIG, f"A message of more than {self._max_length} bytes.")
        end = start + 4 + size
        if len(buffer) < end:
            return None
        self._at = end
        payload = unmask(buffer[start + 4 : end], buffer[start : start + 4])
        return first & 0x0F, bool(first & _FIN), payload

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "Reserved bits without an extension.")
        if opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG):
            raise FrameError(PROTOCOL_ERROR, f"Unknown opcode {opcode}.")
        if not second & _MASKED:
            raise FrameError(PROTOCOL_ERROR, "A client must mask its frames.")
        if opcode & 8:
            if not first & _FIN or second & 0x7F > CONTROL_BYTES:
                raise FrameError(PROTOCOL_ERROR, "A control frame that is fragmented or too long.")
        elif (opcode == 0) != (self._parts is not None):
            raise FrameError(PROTOCOL_ERROR, "A continuation out of place.")

    def _message(self, opcode: int, final: bool, payload: bytes) -> tuple[int, str | bytes] | None:
        if opcode & 8:
            return opcode, payload
        if self._parts is None:
            self._opcode, self._parts = opcode, []
        self._parts.append(payload)
        self._size += len(payload)
        if len(self._parts) > MAX_FRAGMENTS:
            raise FrameError(TOO_BIG, f"A message in more than {MAX_FRAGMENTS} frames.")
        if not final:
            return None
        whole, self._parts, self._size = b"".join(self._parts), None, 0
        if self._opcode == BINARY:
            return BINARY, whole
        try:
            return TEXT, whole.decode()
        except UnicodeDecodeError as error:
            raise FrameError(INVALID_TEXT, "Text that is not UTF-8.") from error


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
