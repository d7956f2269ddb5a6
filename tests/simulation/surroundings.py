"""The steps of the surroundings: time, clocks, servers that stop, restart and forget, processes that are killed."""

from collections.abc import Callable
from typing import Any

from app.realtime import redis_keys
from app.realtime.scripts import RoomScripts
from tests.simulation.database import Database
from tests.simulation.invariants import Invariants
from tests.simulation.model_room import AGENT_INTERVAL, MAX_PAUSE, PACING, TOLERANCE, WINDOW
from tests.simulation.steps import Dice
from tests.simulation.world import Server, World

SECOND, MINUTE, DAY = 1_000_000, 60_000_000, 86_400_000_000
PAUSES = (1, 1000, 50_000, PACING, 3 * PACING, SECOND, AGENT_INTERVAL, WINDOW, MAX_PAUSE, MAX_PAUSE + 1, 5 * SECOND)
LONG_PAUSES = (30 * SECOND, 121 * SECOND, 301 * SECOND, DAY, 3 * DAY, 9 * DAY, 31 * DAY)
SMALL_CLOCK_STEPS = (-1, 1000, TOLERANCE, TOLERANCE + 1, 2 * SECOND)
CLOCK_STEPS = (*SMALL_CLOCK_STEPS, -SECOND, -40 * SECOND, -20 * MINUTE, 40 * SECOND, 20 * MINUTE)


class Surroundings:
    recover: Callable[[], None]
    forget_agents: Callable[[str], None]
    _longest_wait: Callable[[], int]
    forgotten_until: int  # when what servers have forgotten would have left
    rooms: list[str]
    world: World
    database: Database
    invariants: Invariants
    processes: list[RoomScripts]
    saved: dict[int, Any]

    def _wait(self, dice: Dice) -> None:
        self.world.time += dice.of(PAUSES) + dice.below(2)

    def _long_wait(self, dice: Dice) -> None:
        """Within a week everything works again, sweeps have relayed what was stored, and retention has run."""
        pause = dice.of(LONG_PAUSES)
        if pause >= 7 * DAY:
            self.recover()
        self.world.time += pause
        if pause >= 7 * DAY:
            for room in self.rooms:
                self.forget_agents(room)

    def _clock(self, dice: Dice) -> None:
        dice.of(self.world.servers).offset += dice.of(CLOCK_STEPS)

    def _kill(self, dice: Dice) -> None:
        self.processes[dice.below(len(self.processes))] = self.world.new_process()

    def _down(self, dice: Dice) -> None:
        server = dice.of(self.world.servers)
        server.is_down = not server.is_down
        self.world.changes += 1

    def _listen(self, dice: Dice) -> None:
        room = dice.of(self.rooms)
        channel = redis_keys.channel_of(dice.of(("", "~")) + room)
        self.world.listen(channel, redis_keys.slot_of_key(channel), dice.of((0, 1, 2)))

    def _save(self, dice: Dice) -> None:
        server = dice.of(self.world.servers)
        self.saved[server.number] = server.saved()

    def _restart(self, dice: Dice) -> None:
        """Another process with the same memory, or with an older copy, as after a failover."""
        server = dice.of(self.world.servers)
        if dice.below(2) and server.number in self.saved:
            self._lose_memory(server, self.saved[server.number])
        server.restart()
        self.world.changes += 1

    def _flush(self, dice: Dice) -> None:
        """FLUSHALL, or a restart without a file."""
        server = dice.of(self.world.servers)
        self._lose_memory(server, None)
        if dice.below(2):
            server.restart()
        self.world.changes += 1

    def _lose_memory(self, server: Server, restored: Any) -> None:
        """An agent that has moved to another server still waits there for what this one forgets."""
        self.forgotten_until = max(self.forgotten_until, self.world.time + self._longest_wait())
        server.restore(restored)
        slots = [slot for slot in self.world.slots if self.world.server_of(slot) is server]
        self.database.excuse(slots)
        numbers = [number for number, slot in enumerate(redis_keys.PARTITION_SLOTS) if slot in slots]
        self.invariants.forget_numbers({redis_keys.partition_key(number, "").partition("}")[0] for number in numbers})

    def _restore_database(self, dice: Dice) -> None:
        if dice.below(2):
            self.database.save()
        else:
            self.database.restore()
