"""Progress reports that the scripted server received, with the idempotency of the real one."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

TERMINAL = ("COMPLETED", "FAILED")
Outcome = tuple[int, dict[str, Any]]


@dataclass
class Reports:
    """`taken`: the updates that took effect, each once, with the time `at`; `rejected_tasks` are answered with 422."""

    taken: list[dict[str, Any]] = field(default_factory=list)
    filed: list[dict[str, Any]] = field(default_factory=list)
    rejected_tasks: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    _bodies: dict[str, str] = field(default_factory=dict)
    _answers: dict[str, Outcome] = field(default_factory=dict)

    def note_key(self, path: str, key: str | None, body: Any) -> None:
        """Record a fault if a request has no usable key, or a known key with another body."""
        if key is None or not 1 <= len(key) <= 255 or not all(" " <= each <= "~" for each in key):
            self.faults.append(f"POST {path} has no valid Idempotency-Key: {key!r}")
        elif self._bodies.setdefault(key, self._text(path, body)) != self._text(path, body):
            self.faults.append(f"POST {path}: the Idempotency-Key {key!r} was used with another body")

    @staticmethod
    def _text(path: str, body: Any) -> str:
        return f"{path} {json.dumps(body, sort_keys=True)}"

    def answer(self, path: str, key: str | None, body: Any) -> Outcome:
        """The usual answer; a repeated request gets its first answer and has no further effect."""
        if key in self._answers:
            return self._answers[key]
        outcome = self._take(path, body)
        if key is not None and outcome[0] < 300:  # noqa: PLR2004 - a refused request does not use up its key
            self._answers[key] = outcome
        return outcome

    def _take(self, path: str, body: Any) -> Outcome:
        if path.endswith("/vulnerabilities"):
            self.filed.append(dict(body))
            return 201, {**body, "id": f"V{len(self.filed)}", "status": "PENDING", "version": "1"}
        if path.endswith("/progress") and "updates" not in body:
            if body.get("task") in self.rejected_tasks:
                return 422, {"code": "VALIDATION_FAILED", "errors": self._errors()}
            self._note(body)
            return 202, {"accepted": "1"}
        rejected = []
        for index, update in enumerate(body["updates"]):
            if update.get("task") in self.rejected_tasks:
                rejected.append({"index": str(index), "errors": self._errors()})
            else:
                self._note(update)
        return 202, {"accepted": str(len(body["updates"]) - len(rejected)), "rejected": rejected}

    @staticmethod
    def _errors() -> dict[str, list[str]]:
        return {"task": ["May not be reported here."]}

    def _note(self, update: dict[str, Any]) -> None:
        self.taken.append({"status": "RUNNING", **update, "at": time.monotonic()})
