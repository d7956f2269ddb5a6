#!/usr/bin/env python3
"""An agent that reports its progress. Python's standard library is all it needs.

    export DASHBOARD_URL=http://127.0.0.1:5000
    export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role agent --sub scanner-7 --protocol P1)
    python3 docs/examples/agent/agent.py scanner-7 P1 "Symbolic execution of Vault.sol"

An admin must have created the agent and the protocol (docs/examples/README.md shows how), and the token's `sub` must be
the agent's id. Report as often as you like: of RUNNING reports the newest one of each second is shown, COMPLETED and
FAILED always are.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

TRIES = 5
PATIENCE_SECONDS = 10


class Agent:
    def __init__(self, url, token, agent_id, protocol_id):
        self.address = f"{url}/api/v1/agents/{agent_id}/progress"
        self.token = token
        self.protocol_id = protocol_id

    def report(self, task, **fields):
        """Send one report; tries again when the server asks for patience or is out of reach."""
        body = json.dumps({"protocolId": self.protocol_id, "task": task, **fields}).encode()
        for attempt in range(1, TRIES + 1):
            pause = self._try(body, attempt)
            if pause is None:
                return
            time.sleep(pause)
        raise SystemExit(f"gave up after {TRIES} tries")

    def _try(self, body, attempt):
        """None when the report was accepted, else how many seconds to wait before the next try."""
        try:
            self._send(body)
        except urllib.error.HTTPError as refusal:
            problem = json.load(refusal)
            if refusal.code not in (429, 503):
                raise SystemExit(f"{problem['code']}: {problem['detail']} {problem.get('errors', '')}") from refusal
            return float(refusal.headers.get("Retry-After", attempt))
        except urllib.error.URLError:
            return attempt
        return None

    def _send(self, body):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.address, body, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)


def in_seconds(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def main(agent_id, protocol_id, task, steps=10, pause=0.2):
    agent = Agent(os.environ["DASHBOARD_URL"], os.environ["DASHBOARD_TOKEN"], agent_id, protocol_id)
    try:
        for step in range(steps):
            agent.report(task, progress=100 * step / steps, estimatedCompletion=in_seconds((steps - step) * pause))
            time.sleep(pause)  # the work itself
    except Exception as failure:
        agent.report(task, status="FAILED", error={"code": type(failure).__name__, "message": str(failure) or "failed"})
        raise
    agent.report(task, status="COMPLETED")
    print(f"{agent_id} completed {task!r}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
