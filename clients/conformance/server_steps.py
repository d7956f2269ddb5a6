"""Steps about the room and the server; the docstring of each is its line in the README."""

from typing import Any

from clients.conformance.room import Change, Event
from clients.conformance.steps_base import StepsBase
from clients.conformance.streams import Ending


class ServerSteps(StepsBase):
    def step_send(self, change: Change) -> None:
        """Change the room, and send the change's events."""
        for event in self.server.room.change(change):
            self._send(event)

    def step_send_many(self, many: dict[str, Any]) -> None:
        """As `send`, `times` times without a pause."""
        for _ in range(many["times"]):
            self.step_send(many["change"])

    def step_lose(self, change: Change) -> None:
        """Change the room; its events are lost."""
        self.server.room.change(change)

    def step_keep(self, change: Change) -> None:
        """Change the room; its events are kept back until `deliver`."""
        self._kept += self.server.room.change(change)

    def step_deliver(self, numbers: list[int]) -> None:
        """Send the kept events with these numbers (from 1), in this order."""
        for number in numbers:
            self._send(self._kept[number - 1])

    def step_repeat(self, count: int) -> None:
        """Send the last `count` events again."""
        for event in self._sent[-count:]:
            self._send(event)

    def step_emit(self, event: Event) -> None:
        """Send this event; what its envelope lacks is that of the room's next event, unless `seq` is given."""
        if "seq" not in event:
            event = {**self.server.room.event(event["eventType"], {}), **event}
        self._send(event)

    def step_restart_numbering(self, seq: str) -> None:
        """The room's `seq` begins anew, as after a loss of Redis's data."""
        self.server.room.seq = int(seq)

    def step_go_back(self, _: None = None) -> None:
        """The room's database goes back to an older copy: versions may go back in this case."""
        self.may_rewind = True
        room = self.server.room
        room.agents, room.findings, room.payments = {}, {}, {}
        room.pool_version, room.total, room.reserved, room.paid = 1, room.paid + 5, room.paid * 0, room.paid * 0

    def _send(self, event: Event) -> None:
        self._sent.append(event)
        self.server.sockets.send(event)
        self.server.streams.send(event)

    def step_answer(self, planned: dict[str, Any]) -> None:
        """Answer the next `times` (1) requests of kind `to` in this way instead of the usual one."""
        self.server.answers.plan(planned["to"], planned, planned.get("times", 1))

    def step_release(self) -> None:
        """Give the held answers."""
        self.server.released.set()

    def step_accept(self, token: str) -> None:
        """Accept only this token from now on."""
        self.server.tokens.accept(token)

    def step_expire(self) -> None:
        """End all connections with `session:expired`."""
        self.server.sockets.disconnect("session:expired")
        self.server.streams.end(Ending.COMPLETE, "session:expired")

    def step_disconnect(self) -> None:
        """End all connections as at a restart (`io server disconnect`; a stream's complete response)."""
        self.server.sockets.disconnect()
        self.server.streams.end(Ending.COMPLETE)

    def step_cut(self) -> None:
        """Break all TCP connections."""
        self.server.cut()

    def step_down(self) -> None:
        """Refuse all connections, as when the server is gone."""
        self.server.down()

    def step_up(self) -> None:
        """Listen again."""
        self.server.up()

    def step_silent(self, is_silent: bool) -> None:
        """Keep all connections open and answer nothing, as a host that hangs; `false` ends it."""
        self.server.silence(is_silent)

    def step_reject(self, task: str) -> None:
        """Refuse each report of this task with 422."""
        self.server.reports.rejected_tasks.add(task)

    def step_resync(self) -> None:
        """Send `event: state` again on the streams."""
        self.server.streams.resync()

    def step_write(self, text: str) -> None:
        """Write this to the streams, as it is."""
        self.server.streams.write(text.encode())

    def step_frames(self, form: dict[str, Any]) -> None:
        """Write frames in pieces of `bytes`, and end lines with `lineEnd`."""
        self.server.streams.chunk_bytes = form.get("bytes")
        self.server.streams.line_end = form.get("lineEnd", "\n")
