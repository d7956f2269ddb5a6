"""The exceptions of this package."""

from collections.abc import Mapping
from typing import Any

SERVER_ERROR = 500


class DashboardError(Exception):
    """The base of all exceptions of this package."""


class Unreachable(DashboardError):
    """There was no response: no connection, a broken one, or none in time."""


class ApiError(DashboardError):
    """A refusal (RFC 9457). `code` is stable; `errors` maps a field to its messages; `retry_after` is in seconds."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        request_id: str | None = None,
        errors: Mapping[str, list[str]] | None = None,
        retry_after: float | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}" + (f" {dict(errors)}" if errors else ""))
        self.status, self.code, self.detail = status, code, detail
        self.request_id, self.retry_after = request_id, retry_after
        self.errors: Mapping[str, list[str]] = errors or {}
        self.problem: Mapping[str, Any] = problem or {}

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (408, 425, 429) or self.status >= SERVER_ERROR or self.code == "IDEMPOTENCY_KEY_IN_USE"


class RoomRefused(DashboardError):
    """The server refused the room for good, with `code` UNAUTHORIZED, INVALID_PROTOCOL or that of `/state`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class NotAccepted(DashboardError):
    """An agent's finding was not sent: too many are waiting, or the agent is closed."""


class JournalInUse(DashboardError):
    """Another running process uses the journal."""
