"""What an agent tells of a task: the bodies of its progress reports, made from what the agent's code passes."""

import math
from datetime import datetime, timedelta, timezone
from typing import Any

Eta = datetime | timedelta | float | None
"""When the task will be completed: a time, or the time left as a timedelta or in seconds."""

MAX_MESSAGE, MAX_CODE = 2000, 64


def running(percent: float, eta: Eta = None) -> dict[str, Any]:
    """Raises TypeError or ValueError for what is no number or time. Values outside of 0 to 100 become the nearest."""
    number = float(percent)
    if not math.isfinite(number):
        raise ValueError(f"progress is {percent!r}, not a number from 0 to 100")
    body: dict[str, Any] = {"status": "RUNNING", "progress": round(min(100.0, max(0.0, number)), 2)}
    if eta is not None:
        body["estimatedCompletion"] = _timestamp(eta)
    return body


def completed(next_task: str | None = None) -> dict[str, Any]:
    return {"status": "COMPLETED"} | ({"nextTask": str(next_task)} if next_task else {})


def failed(error: BaseException | str, code: str | None = None) -> dict[str, Any]:
    """With the kind of an exception as the code, and its text as the message."""
    kind = type(error).__name__ if isinstance(error, BaseException) else None
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception of the agent's own whose text cannot be made
        message = ""
    body = {"message": (message or kind or "failed")[:MAX_MESSAGE]}
    if code or kind:
        body["code"] = str(code or kind)[:MAX_CODE]
    return {"status": "FAILED", "error": body}


def _timestamp(eta: "datetime | timedelta | float") -> str:
    if isinstance(eta, datetime):
        moment = eta.astimezone(timezone.utc)
    else:
        left = eta if isinstance(eta, timedelta) else timedelta(seconds=float(eta))
        moment = datetime.now(timezone.utc) + left
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
