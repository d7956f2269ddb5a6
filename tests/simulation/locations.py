"""Where agents work, judged apart from the model: in one room at a time, and in the last one they turned to.

Only for servers that keep their memory. An agent whose location is lost with a server's memory is not taken out of its
earlier room (docs/limiter-proof.md).
"""

from tests.simulation.invariants import require
from tests.simulation.model_room import Room
from tests.simulation.world import World

RUNNING = '"status":"RUNNING"'


class Locations:
    def __init__(self, world: World) -> None:
        self._world = world
        self.started: dict[str, str] = {}  # agents whose last update is the stored start of a task, and its room

    def check(self) -> None:
        """At any time: an agent arrives in a room after it has left all others."""
        for agent, rooms in self._rooms_by_agent().items():
            require(len(rooms) == 1, f"{agent} works in several rooms", rooms)

    def check_starts(self) -> None:
        """When all that was stored has been relayed: the start of a task has moved its agent."""
        found = self._rooms_by_agent()
        for agent, room in self.started.items():
            require(found.get(agent) == [room], f"{agent} started a task in {room}, and works in", found.get(agent))

    def check_last(self, homes: dict[str, str]) -> None:
        """When each agent has reported in its home: it works there, and no other room says that it does."""
        found = self._rooms_by_agent()
        for agent, home in homes.items():
            require(found.get(agent) == [home], f"{agent} reported in {home}, and works in", found.get(agent))
        for room in self._rooms():
            for agent, data in room.latest.items():
                if agent in homes and homes[agent] != room.id:
                    require(RUNNING not in data, f"{agent} has left {room.id}, where it is told as", data)

    def _rooms(self) -> list[Room]:
        parts = [part for server in self._world.servers for part in server.parts.values()]
        return [room for part in parts for room in part.rooms.values()]

    def _rooms_by_agent(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for room in self._rooms():
            for name, agent in room.agents.items():
                if agent.is_here:
                    found.setdefault(name, []).append(room.id)
        return found
