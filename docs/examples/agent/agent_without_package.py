#!/usr/bin/env python3
"""An agent that reports its progress without the package clients/python: Python's standard library is enough.

    export DASHBOARD_URL=http://127.0.0.1:5000
    export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role agent --sub scanner-7 --protocol P1)
    python3 docs/examples/agent/agent_without_package.py scanner-7 P1 "Symbolic execution of Vault.sol"

An admin must have created the agent and the protocol (docs/examples/README.md shows how), and the token's `sub` must be
the agent's id.

Four rules make the reports reliable on a bad network:
 1. A RUNNING report may be lost, because the next one replaces it: it is tried a few times, then dropped.
 2. COMPLETED or FAILED is sent until the server has answered. Nothing else closes the task.
 3. All attempts of a report share an Idempotency-Key: after a lost response, the second attempt does not close the next
    task of the queue.
 4. A report that cannot be sent says nothing about the work: only an error of the work makes a task FAILED.
"""

import http.client
import itertools
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone

RUNNING_ATTEMPTS = 3
TIMEOUT_SECONDS = 10
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 30
RETRYABLE = {408, 425, 429}  # and every 5xx


class Agent:
    def __init__(self, url, token, agent_id, protocol_id):
        self.address = f"{url}/api/v1/agents/{agent_id}/progress"
        self.token = token
        self.protocol_id = protocol_id

    def report(self, task, **fields):
        """Send a RUNNING report; drop it after a few failed attempts."""
        if not self._deliver({"task": task, **fields}, range(RUNNING_ATTEMPTS)):
            print("a progress report was dropped: the server cannot be reached", file=sys.stderr)

    def close(self, task, **fields):
        """Send the COMPLETED or FAILED report; returns when the server has accepted it."""
        self._deliver({"task": task, **fields}, itertools.count())

    def _deliver(self, fields, attempts):
        """Return whether the report was accepted. Raises SystemExit if the server refuses it permanently."""
        body = json.dumps({"protocolId": self.protocol_id, **fields}).encode()
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid.uuid4()),
        }
        request = urllib.request.Request(self.address, body, headers)
        wanted_pause = 0
        for attempt in attempts:
            if attempt:
                time.sleep(max(wanted_pause, backoff(attempt)))
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                    return True
            except urllib.error.HTTPError as refusal:
                wanted_pause = pause_before_retry(refusal)
            except (OSError, http.client.HTTPException):  # no connection, or one that ended without a response
                wanted_pause = 0
        return False


def pause_before_retry(refusal):
    """Return the seconds that the server asks to wait, or 0. Raises SystemExit if a retry is useless."""
    try:
        problem = json.load(refusal)
    except (ValueError, OSError, http.client.HTTPException):  # a proxy's response, or a truncated one
        problem = {}
    in_use = problem.get("code") == "IDEMPOTENCY_KEY_IN_USE"  # the first attempt is still in progress
    if refusal.code < 500 and refusal.code not in RETRYABLE and not in_use:
        reason = (problem.get("code", refusal.code), problem.get("detail", refusal.reason), problem.get("errors", ""))
        raise SystemExit("the report was refused: {}: {} {}".format(*reason))
    wanted = refusal.headers.get("Retry-After", "")
    return int(wanted) if wanted.isdigit() else 0


def backoff(attempt):
    """Growing, random pauses, so that many agents do not retry at the same moment."""
    return min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)


def in_seconds(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def main(agent_id, protocol_id, task, steps=10, pause=0.2):
    agent = Agent(os.environ["DASHBOARD_URL"], os.environ["DASHBOARD_TOKEN"], agent_id, protocol_id)
    try:
        for step in range(steps):
            agent.report(task, progress=100 * step / steps, estimatedCompletion=in_seconds((steps - step) * pause))
            time.sleep(pause)  # the work itself
    except Exception as failure:
        agent.close(task, status="FAILED", error={"code": type(failure).__name__, "message": str(failure) or "failed"})
        raise
    agent.close(task, status="COMPLETED")
    print(f"{agent_id} completed {task!r}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
