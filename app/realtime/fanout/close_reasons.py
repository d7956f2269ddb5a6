"""Why the server closes a connection, and the WebSocket close code that each reason has (RFC 6455, 7.4.1)."""

from enum import IntEnum, StrEnum


class CloseCode(IntEnum):
    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    SERVER_ERROR = 1011


class CloseReason(StrEnum):
    """The reason in logs and in Socket.IO's `disconnect` handler; the first two are python-engineio's own."""

    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"
    SLOW_CLIENT = "slow client"
    SERVER_SHUTDOWN = "server shutdown"
    SERVER_ERROR = "server error"
    FLOOD = "flood"
    PARSE_ERROR = "parse error"
    SESSION_ENDED = "session ended"
    HANDSHAKE_TIMEOUT = "handshake timeout"


_CLOSE_CODES: dict[str, CloseCode] = {
    CloseReason.SERVER_SHUTDOWN: CloseCode.GOING_AWAY,
    CloseReason.SERVER_ERROR: CloseCode.SERVER_ERROR,
    CloseReason.FLOOD: CloseCode.POLICY_VIOLATION,
    CloseReason.PARSE_ERROR: CloseCode.POLICY_VIOLATION,
    CloseReason.SESSION_ENDED: CloseCode.POLICY_VIOLATION,
    CloseReason.HANDSHAKE_TIMEOUT: CloseCode.POLICY_VIOLATION,
}


def close_code(reason: str) -> CloseCode:
    return _CLOSE_CODES.get(reason, CloseCode.NORMAL)
