"""The driver of the Python package for the conformance cases; README.md describes the protocol.

It is a program; the kit runs `main` in forks of a process that has imported this module (../forked.py).
"""

import asyncio
import json
import os
import sys
from typing import Any

# Of what socketio and httpx import only if it is installed: half of the time of a start. An installation of the
# package alone does not have them.
sys.modules.update(dict.fromkeys(("redis", "valkey", "kombu", "requests", "rich", "click")))

from dashboard_realtime import Agent, Room, RoomRefused  # noqa: E402

tokens: list[str] = []


def current_token() -> str:
    return tokens[-1]


def variables(*names: str) -> list[str]:
    return [os.environ[name] for name in names]


def show(kind: str, **members: Any) -> None:
    print(json.dumps({"type": kind, **members}), flush=True)


async def follow(room: Room) -> None:
    shown = None
    try:
        async for state in room.states():
            if state != shown:
                show("state", state=state)
            shown = state
    except RoomRefused as refusal:
        show("refused", code=refusal.code)


async def run_room() -> None:
    def show_status(status: object) -> None:
        show("status", status=str(status))

    url, protocol_id, transport = variables("DASHBOARD_URL", "PROTOCOL_ID", "TRANSPORT")
    async with Room(url, current_token, protocol_id, transport=transport, on_status=show_status) as room:
        show_status(room.status)
        following = asyncio.create_task(follow(room))
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            if command["command"] == "close":
                break
            tokens.append(command["token"])
            room.renew()
            show("done", command="token")
    await following


def run_agent() -> None:
    tasks = {}
    url, protocol_id, agent_id = variables("DASHBOARD_URL", "PROTOCOL_ID", "AGENT_ID")
    with Agent(url, current_token, agent_id=agent_id, protocol_id=protocol_id, close_timeout=60) as agent:
        for line in sys.stdin:
            message = json.loads(line)
            command, name = message.pop("command"), message.pop("task", None)
            if command == "close":
                break
            if command == "token":
                tokens.append(message["token"])
            elif command == "file":
                agent.file(message.pop("title"), message.pop("severity"), **message)
            elif command == "task":
                tasks[name] = agent.task(name).__enter__()
            elif command == "progress":
                tasks[name].progress(message["progress"])
            elif command == "complete":
                tasks[name].__exit__(None, None, None)
            elif command == "fail":
                error = RuntimeError(message["message"])
                tasks[name].__exit__(RuntimeError, error, None)
            show("done", command=command)


def main() -> None:
    tokens.append(os.environ["TOKEN"])
    if os.environ["ROLE"] == "room":
        asyncio.run(run_room())
    else:
        run_agent()


if __name__ == "__main__":
    main()
