"""A client that does all that the conformance cases forbid: it shows one state, and reports without keys and pauses."""

import json
import os
import sys
import urllib.error
import urllib.request

URL, TOKEN, PROTOCOL = (os.environ[name] for name in ("DASHBOARD_URL", "TOKEN", "PROTOCOL_ID"))
AGENT, FAULT = os.environ["AGENT_ID"], os.environ["FAULT"]


def call(path: str, body: object = None) -> dict:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    if FAULT == "no token":
        headers.pop("Authorization")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/api/v1{path}", data=data, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def show(kind: str, **members: object) -> None:
    print(json.dumps({"type": kind, **members}), flush=True)


def show_state() -> None:
    while True:
        try:
            state = call(f"/protocols/{PROTOCOL}/state")
            break
        except urllib.error.HTTPError as refused:
            if refused.code != 503:
                raise
    if FAULT == "pool":
        state["pool"]["available"] = "1.00"
    show("state", state=state)
    show("status", status="live")
    if FAULT == "goes back":
        show("state", state={**state, "pool": {**state["pool"], "version": "0"}})


if os.environ["ROLE"] == "room":
    show_state()
for line in sys.stdin:
    message = json.loads(line)
    if message["command"] == "close":
        sys.exit(1 if FAULT == "exit code" else 0)
    if message["command"] == "token":
        show("done", command="token")
        sys.exit(1)
    status = {"complete": "COMPLETED", "fail": "FAILED"}.get(message["command"], "RUNNING")
    report = {"protocolId": PROTOCOL, "task": message["task"], "status": status, "progress": message.get("progress", 0)}
    call(f"/agents/{AGENT}/progress", report)
    if FAULT == "twice" and status != "RUNNING":
        call(f"/agents/{AGENT}/progress", report)
    show("done", command=message["command"])
