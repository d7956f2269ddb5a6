#!/usr/bin/env python3
"""An agent that reports its progress and files a finding, with the package clients/python.

    export DASHBOARD_URL=http://127.0.0.1:5000
    export DASHBOARD_TOKEN=$(.venv/bin/dashboard token --role agent --sub scanner-7 --protocol P1)
    .venv/bin/python docs/examples/agent/agent.py P1 "Symbolic execution of Vault.sol"

An admin must have created the agent and the protocol (docs/examples/README.md shows how); the agent's id is the token's
`sub`. No report delays or breaks the work. An exception would make the task FAILED, and with `journal=` a crash, too
(clients/python/README.md).
"""

import os
import sys
import time

from dashboard_realtime import Agent


def main(protocol_id, name, steps=10, pause=0.2):
    with Agent(os.environ["DASHBOARD_URL"], os.environ["DASHBOARD_TOKEN"], protocol_id=protocol_id) as agent:
        with agent.task(name) as task:
            for step in range(steps):
                task.progress(100 * step / steps, eta=(steps - step) * pause)
                time.sleep(pause)  # the work itself
            finding = task.file("Unchecked return value of transfer()", "LOW")
        print(f"completed {name!r}, filed {finding.result(60)['title']!r}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
