"""The statuses of a room, and its options."""

import ssl
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Status(str, Enum):
    """The same words as in the JavaScript client. RECONNECTING, RESYNCING: the state may be out of date."""

    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    RESYNCING = "resyncing"
    SIGNED_OUT = "signed out"
    ERROR = "error"
    CLOSED = "closed"

    def __str__(self) -> str:
        return self.value

    @property
    def is_final(self) -> bool:
        return self in (Status.SIGNED_OUT, Status.ERROR, Status.CLOSED)


@dataclass(frozen=True)
class RoomOptions:
    """Times in seconds."""

    agent_batches: bool = False  # RUNNING updates of all agents as one event a second (hundreds of agents)
    refresh: float = 20.0  # pause between two fetches without a loss
    rest: float = 1.0  # shortest pause between two fetches
    jitter: float = 0.4  # longest random pause before a fetch or connection that many clients start at once
    retry: float = 0.5  # first pause after a failure; doubles up to `retry_cap`
    retry_cap: float = 15.0
    silence: float = 5.0  # ask for a sign of life when nothing was heard for so long; 0: never
    answer: float = 3.0  # without one within this time the server does not answer
    timeout: float = 10.0  # time limit of a fetch and of a handshake
    stream_silence: float = 35.0  # an SSE stream without even a comment for so long is broken
    renew_before: float = 60.0  # a token's function is asked for a new one so long before the old one expires
    ssl: "ssl.SSLContext | None" = None  # for servers whose certificate the system does not trust
    http: dict[str, Any] = field(default_factory=dict)  # further arguments for httpx.AsyncClient
