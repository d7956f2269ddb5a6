"""The steps of the application: reports, stored events, drains, and reads, by one of its processes."""

from app.agents.task_changes import MAX_PENDING_TERMINAL
from app.realtime import emitter, limiter, redis_keys, retention, scripts
from app.realtime.scripts import RoomScripts
from tests.simulation.database import Database
from tests.simulation.steps import Dice, Shape
from tests.simulation.world import World

EVENTS = ("bounty_pool:updated", "vuln:status_changed")


class Actions:
    shape: Shape
    rooms: list[str]
    agents: list[str]
    homes: dict[str, str]
    world: World
    database: Database
    process: RoomScripts
    count: int  # of reports and events

    def data(self, agent: str, task: str, status: str, dice: Dice) -> str:
        self.count += 1
        estimate = dice.of(("null", '"2026-01-01T00:00:00.000Z"'))
        return (
            f'{{"agentId":"{agent}","task":"{task}","progress":"{self.count % 101}","status":"{status}",'
            f'"estimatedCompletion":{estimate},"error":null,"nextTask":null,"n":"{self.count}"'
        )

    def _room_for(self, agent: str, dice: Dice) -> str:
        """The agent's room, or another one to which it turns."""
        if dice.below(8) == 0:
            self.homes[agent] = dice.of(self.rooms)
        return self.homes[agent]

    def _report(self, dice: Dice) -> None:
        reports = []
        for _ in range(dice.of((1, 1, 2, 8))):
            agent, task = dice.of(self.agents), dice.of(("scan", "scan", "scan all"))
            room = self._room_for(agent, dice)
            reports.append(limiter.RunningReport(agent, room, task, self.data(agent, task, "RUNNING", dice)))
        limiter.report(reports)

    def _finish(self, dice: Dice) -> None:
        """Terminal updates, some with the start of the next task, also in another room."""
        count = dice.of((1, 1, 3) if self.shape.is_calm else (1, 1, 3, 40))
        updates = [(agent, self._room_for(agent, dice)) for agent in (dice.of(self.agents) for _ in range(count))]
        for (agent, room), (version, pending) in zip(updates, limiter.allocate_versions(updates), strict=True):
            if pending >= MAX_PENDING_TERMINAL:
                continue
            status, following = dice.of(("COMPLETED", "FAILED")), dice.below(3)
            self._store_update(room, agent, status, version, dice)
            if status == "COMPLETED" and following:
                self.homes[agent] = room if following == 1 else dice.of(self.rooms)
                self._store_update(self.homes[agent], agent, "RUNNING", version + 1, dice)
        for room in {room for _, room in updates} | {self.homes[agent] for agent, _ in updates}:
            self.database.relay(room)

    def _store_update(self, room: str, agent: str, status: str, version: int, dice: Dice) -> None:
        data = self.data(agent, "scan", status, dice)
        self.database.append(room, "agent:task_update", f'{data},"version":"{version}"}}', str(self.count))

    def _publish(self, dice: Dice) -> None:
        room = dice.of(self.rooms)
        for _ in range(dice.of((1, 1, 2) if self.shape.is_calm else (1, 1, 1, 4, 11, 50))):
            self.count += 1
            self.database.append(room, dice.of(EVENTS), f'{{"n":"{self.count}"}}', str(self.count))
        self.database.relay(room)

    def _relay(self, dice: Dice) -> None:
        self.database.relay(dice.of(self.rooms))

    def _drain(self, _dice: Dice) -> None:
        limiter.drain()

    def _drain_when_due(self, dice: Dice) -> None:
        """Exactly when the next room is due, or a microsecond before or after."""
        delays = self._delays()
        if delays:
            self.world.time += max(0, min(delays) - dice.of((0, 0, 1, 2, 1000)))
        limiter.drain()

    def _delays(self) -> list[int]:
        """How long until each room is due by its partition's steady clock."""
        found = []
        for server in self.world.servers:
            for part in server.parts.values():
                if part.due and part.last is not None:
                    steady = max(part.last, self.world.wall(server) + part.offset)
                    found.append(min(part.due.values()) - steady)
        return found

    def _read_seq(self, dice: Dice) -> None:
        room = dice.of(self.rooms)
        if dice.below(3) == 0:
            limiter.open_room(room)
        else:
            limiter.current_seq(dice.of(("", "~")) + room)

    def _forget(self, dice: Dice) -> None:
        room = dice.of(self.rooms)
        if dice.below(2):
            call = scripts.Call("forget_room", redis_keys.room_keys(room), (room, retention.ROOM_SILENCE_US))
            self.process.run(call)
        else:
            self.forget_agents(room, dice.of((1, retention.AGENTS_PER_CALL)))

    def forget_agents(self, room: str, most: int = retention.AGENTS_PER_CALL) -> None:
        arguments = (room, retention.AGENT_SILENCE_US, most)
        self.process.run(scripts.Call("forget_agents", redis_keys.room_keys(room), arguments))

    def _disconnect(self, dice: Dice) -> None:
        key = redis_keys.room_key(dice.of(self.rooms), "disconnected")
        client = f"client{dice.below(3)}"
        arguments = (client, self.world.time // 1_000_000, emitter.MAX_CLIENTS, emitter.DISCONNECTED_SECONDS)
        self.process.run(scripts.Call("disconnect", (key,), arguments))
