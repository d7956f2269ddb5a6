"""Plays one case with one driver, and judges the client."""

import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from clients.conformance.agent_steps import AgentSteps
from clients.conformance.case import Case
from clients.conformance.driver import Command, Driver
from clients.conformance.room import PROTOCOL, Room
from clients.conformance.room_steps import RoomSteps
from clients.conformance.script import AGENT
from clients.conformance.server import ScriptedServer
from clients.conformance.server_steps import ServerSteps
from clients.conformance.states import faults_of
from clients.conformance.steps_base import Failed

KINDS_WITH_TOKEN = ("connect", "state", "stream", "reports", "file", "renew")
START, CLOSE = ("start", None), ("close", None)
TIMER_SECONDS = 0.02  # by which a timer may ring too early


class Steps(ServerSteps, RoomSteps, AgentSteps):
    """All steps that a case can have."""


@dataclass(frozen=True)
class Outcome:
    """`faults`: what the client did wrong, empty if it passed."""

    case: str
    faults: list[str]


def play(case: Case, command: Command, transport: str) -> Outcome:
    """Play the case from its first to its last step, or to the first one that fails."""
    with ScriptedServer(make_room(case.room), case.role) as server:
        environment = _environment(case, server, transport)
        steps = Steps(server, lambda: Driver(command, environment, server.record))
        faults = _play_steps(case, steps)
        driver = steps.driver
        faults += [*driver.faults, *server.reports.faults, *_request_faults(server)]
        states = [each["state"] for each in driver.of("state")]
        faults += _state_faults(states, steps.may_rewind)
        stderr = driver.kill()
    if faults and stderr:
        faults.append(f"the driver wrote to stderr:\n{stderr}")
    return Outcome(case.name, faults)


def make_room(members: dict[str, Any]) -> Room:
    """A room with these members, in which the changes `before` have been made."""
    members = dict(members)
    before = members.pop("before", [])
    if "total" in members:
        members["total"] = Decimal(members["total"])
    numbers = {name: int(value) for name, value in members.items() if name in {"seq", "version"}}
    room = Room(**members | numbers)
    for change in before:
        room.change(change)
    return room


def _environment(case: Case, server: ScriptedServer, transport: str) -> dict[str, str]:
    return {
        "DASHBOARD_URL": server.url,
        "TOKEN": server.tokens.token("T1"),
        "PROTOCOL_ID": PROTOCOL,
        "AGENT_ID": AGENT,
        "TRANSPORT": transport,
        "ROLE": case.role,
    }


def _play_steps(case: Case, steps: Steps) -> list[str]:
    """Without a step `start` the client is started first; it is closed last."""
    first = [] if START in case.steps else [START]
    last = [] if CLOSE in case.steps else [CLOSE]
    for number, (name, argument) in enumerate([*first, *case.steps, *last], 1 - len(first)):
        try:
            steps.play(name, argument)
        except Failed as failed:
            return [f"step {number} ({name}): {failed}"]
    return []


def _state_faults(states: list[dict[str, Any]], may_rewind: bool) -> list[str]:
    try:
        return faults_of(states, may_rewind=may_rewind)
    except (KeyError, TypeError, ValueError) as error:
        return [f"a state is not in the form of /state: {error!r}"]


def _request_faults(server: ScriptedServer) -> list[str]:
    """What no request may do: lack a token, have one in its URL, or come before `Retry-After` is over."""
    found = []
    for each in server.record.of(*KINDS_WITH_TOKEN):
        if not server.tokens.is_known(each.token):
            found.append(f"a request of kind {each.kind} to {each.path!r} has no token, or another one: {each.token!r}")
        if each.token and each.token in each.path:
            found.append(f"a token is in the URL {each.path!r}")
    for kind in ("state", "stream", "reports", "file"):
        for before, after in itertools.pairwise(server.record.of(kind)):
            pause = after.at - (before.answered_at or after.at)
            if pause < before.retry_after - TIMER_SECONDS:
                found.append(f"{kind} was requested again after {pause:.2f} s, Retry-After was {before.retry_after} s")
    return found
