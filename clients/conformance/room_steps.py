"""Steps about a client of a room; the docstring of each is its line in the README."""

import time

from clients.conformance.script import Exchange
from clients.conformance.states import difference
from clients.conformance.steps_base import Failed, StepsBase

MAX_FETCHES, FETCH_SECONDS = 2, 10


class RoomSteps(StepsBase):
    def step_token(self, name: str) -> None:
        """Hand the client a new token, and wait until it has it."""
        before = self._tokens_taken()
        self.driver.send("token", token=self.server.tokens.token(name))
        self._wait(lambda: self._tokens_taken() > before, lambda: "the client has the new token")

    def _tokens_taken(self) -> int:
        return sum(each.get("command") == "token" for each in self.driver.of("done"))

    def step_close(self) -> None:
        """Tell the client to end, and wait for it; it must flush what it holds, and exit with 0."""
        code = self.driver.close()
        if code != 0:
            raise Failed(f"the driver exited with {code}" if code is not None else "the driver did not exit")

    def step_equal(self) -> None:
        """Wait until the client is live and its state equals the room's."""
        self._wait(lambda: self.driver.status == "live" and self._difference() is None, self._difference_and_status)

    def _difference(self) -> str | None:
        return difference(self.driver.state, self.server.room.state())

    def _difference_and_status(self) -> str:
        return f"live and equal to the room; status {self.driver.status!r}, {self._difference()}"

    def step_status(self, wanted: str) -> None:
        """Wait for this status of the client; `not live` is any but `live`."""
        fits = (lambda status: status not in {None, "live"}) if wanted == "not live" else wanted.__eq__
        self._wait(lambda: fits(self.driver.status), lambda: f"status {wanted!r}; it is {self.driver.status!r}")

    def step_refused(self, code: str) -> None:
        """Wait until the client says that it was refused for good, with this code."""
        self._wait(
            lambda: any(each.get("code") == code for each in self.driver.of("refused")),
            lambda: f"refused with {code}; it said {self.driver.of('refused')}",
        )

    def step_requests(self, counts: dict[str, int]) -> None:
        """Wait until there have been at least so many requests of each kind."""
        for kind, count in counts.items():
            self._wait(
                lambda kind=kind, count=count: len(self.server.record.of(kind)) >= count,
                lambda kind=kind, count=count: f"{count} × {kind}; there are {len(self.server.record.of(kind))}",
            )

    def step_no_more(self, kinds: list[str]) -> None:
        """For a second there are no further requests of these kinds."""
        before = len(self.server.record.of(*kinds))
        time.sleep(1)
        found = self.server.record.of(*kinds)[before:]
        if found:
            raise Failed(f"{len(found)} further requests of {kinds}, the first: {found[0]}")

    def step_fetches_rarely(self) -> None:
        """`/state` was requested at most twice, and once more in ten seconds."""
        elapsed, count = time.monotonic() - self._started_at, len(self.server.record.of("state"))
        if count > MAX_FETCHES + elapsed / FETCH_SECONDS:
            raise Failed(f"{count} requests of /state within {elapsed:.1f} s")

    def step_uses_token(self, expected: dict[str, str]) -> None:
        """Wait until the last request of each kind has this token."""
        for kind, name in expected.items():
            self._wait(lambda kind=kind, name=name: self._last_token(kind) == name, lambda: f"tokens {expected}")

    def _last_token(self, kind: str) -> str | None:
        found: list[Exchange] = self.server.record.of(kind)
        return self.server.tokens.name_of(found[-1].token) if found else None
