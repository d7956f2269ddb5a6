"""Progress reports that the scripted server received, with the idempotency of the real one."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

TERMINAL = ("COMPLETED", "FAILED")
MAX_KEY = 255
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
        """Record a fault if a request lacks a key, has an unusable one, or a known key with another body.

        A request that only has RUNNING reports needs none: the newest one wins anyway.
        """
        if key is None:
            if self._needs_key(path, body):
                self.faults.append(f"POST {path} has no Idempotency-Key: {body}")
        elif not 1 <= len(key) <= MAX_KEY or not all(" " <= each <= "~" for each in key):
            self.faults.append(f"POST {path} has an Idempotency-Key that is not valid: {key!r}")
        elif self._bodies.setdefault(key, self._text(path, body)) != self._text(path, body):
            self.faults.append(f"POST {path}: the Idempotency-Key {key!r} was used with another body")

    @staticmethod
    def _needs_key(path: str, body: Any) -> bool:
        updates = body.get("updates", [body])
        return path.endswith("/vulnerabilities") or any(each.get("status") in TERMINAL for each in updates)

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
            self._note({"agentId": path.split("/")[-2], **body})
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
