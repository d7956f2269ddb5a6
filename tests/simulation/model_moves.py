"""The part of the reference model that moves agents between rooms."""

from collections.abc import Sequence
from typing import Any

from tests.simulation.model_drain import Draining
from tests.simulation.model_room import AGENT_INTERVAL, OFFLINE_AFTER, idle, version_of

MAX_PREVIOUS, LIFETIME, DRAIN_DELAY = 8, 8 * 86_400_000_000, 250_000


class Moving(Draining):
    def leave(self, *moves: Any) -> list[Any]:
        for name, epoch in zip(moves[::2], moves[1::2], strict=True):
            self._leave(name, int(epoch))
        self.drain_room()
        self.touch_room()
        self.room.changes += 1
        reply = self.reply()
        for name in moves[::2]:
            agent = self.room.agent(name, self.part.born)
            waiting = agent.pending + (name in self.room.waiting)
            delay = waiting * AGENT_INTERVAL + DRAIN_DELAY if waiting else 0
            reply += [str(max(0, agent.next_allowed - self.now) + delay), str(agent.version)]
        return reply

    def _leave(self, name: str, epoch: int) -> None:
        room, part = self.room, self.part
        agent = room.agent(name, part.born)
        if epoch <= agent.epoch:
            return
        agent.epoch = epoch
        if agent.is_here:
            latest = room.latest.get(name, "")
            version = epoch if epoch > (version_of(latest) if latest else 0) else agent.version + 1
            agent.version = max(agent.version, version)
            if '"status":"RUNNING"' in latest:
                room.latest[name] = idle(latest, version)
                due = max(self.now, agent.next_allowed)
                room.waiting.setdefault(name, due)
                if room.batch_seq is not None:
                    room.batch_waiting.setdefault(name, due)
            for counted in (room.busy, part.busy, part.last_seen):
                counted.pop(name, None)
            if name in room.last_seen:
                room.last_seen[name] = self.wall - OFFLINE_AFTER
            agent.is_here, agent.task = False, ""
        self.save_agent(name, agent)
        self.keep_agent(name)

    def arrive(self, *arrivals: Any) -> list[Any]:
        reply: list[Any] = [str(self.now)]
        for at in range(0, len(arrivals), 4):
            name = arrivals[at]
            epoch, remaining, version = map(int, arrivals[at + 1 : at + 4])
            agent = self.room.agent(name, self.part.born)
            if epoch < agent.epoch or (epoch == agent.epoch and not agent.is_here):
                reply.append(str(agent.epoch))
                continue
            agent.is_here, agent.epoch = True, epoch
            agent.version = max(agent.version, version)
            if agent.pending == 0 and self.room.waiting.get(name, 0) <= self.now:
                agent.next_allowed = max(agent.next_allowed, self.now + remaining)
            self.save_agent(name, agent)
            self.keep_agent(name)
            self.room.changes += 1
            reply.append("")
        return reply

    def locate(self, keys: Sequence[str], id_: str, _expected: Any, least_epoch: Any, version: Any) -> list[Any]:
        held = self._location(keys[0])
        if version != "" and held["epoch"] > int(version):
            return [str(self.now), "", "0"]
        to_leave = [each for each in [*held["previous"], held["room"]] if each and each != id_][-MAX_PREVIOUS:]
        epoch = max(int(version or self.wall), int(least_epoch) + 1, held["epoch"] + 1)
        until = self.wall // 1000 * 1000 + LIFETIME
        self.part.locations[keys[0]] = {"room": id_, "epoch": epoch, "previous": to_leave, "until": until}
        unknown = max(0, self.part.born + AGENT_INTERVAL - self.now)
        return [str(self.now), str(epoch), str(unknown), *to_leave]

    def confirm(self, key: str, epoch: Any) -> None:
        held = self._location(key)
        if held["room"] and str(held["epoch"]) == str(epoch):
            held["previous"] = []

    def _location(self, key: str) -> dict[str, Any]:
        held = self.part.locations.get(key)
        if held and held["until"] > self.wall:
            return held
        self.part.locations.pop(key, None)  # it has expired
        return {"room": "", "epoch": 0, "previous": []}

    def keep_agent(self, name: str) -> None:
        self.room.last_seen.setdefault(name, self.wall - OFFLINE_AFTER)
        self.part.active[self.room.id] = self.wall
