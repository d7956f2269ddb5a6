#!/usr/bin/env python3
"""A live view of a protocol in Python, with the package clients/python: one line of JSON per change, until Ctrl-C."""

import contextlib
import json
import os
import sys

from dashboard_realtime import Room


def main(protocol_id):
    with Room(os.environ["DASHBOARD_URL"], os.environ["DASHBOARD_TOKEN"], protocol_id) as room:
        for state in room.states():
            tasks = [f"{agent['agentId']}: {agent['task']} {agent['progress']} %" for agent in state.agents]
            print(
                json.dumps({"status": state.status, "available": state.pool["available"], "tasks": tasks}), flush=True
            )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1])
