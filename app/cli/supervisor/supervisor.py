"""Keeps parts running: starts them, replaces those that die or hang, stops all in order."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import click

from app.cli.supervisor.child import Child, describe_exit
from app.cli.supervisor.console import Console
from app.cli.supervisor.home import Home
from app.cli.supervisor.parts import Part

STEADY_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 3.0
DEATHS_BEFORE_READY = 2
POLL_SECONDS = 0.05
FIRST_WORD_SECONDS = 2.0
NEXT_WORD_SECONDS = 15.0
START_LIMIT_SECONDS = 120.0  # a part that has given no sign by then hangs in its start
MAX_LOOK_SECONDS = 1.0  # while this process itself does not run, its parts are not silent
RETRY_WRITE_SECONDS = 1.0


class _RestartBackoff:
    """One part: its present child, and when to start the next. A first death costs no pause, a row of them does."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.child: Child | None = None
        self.deaths = 0
        self.start_at = 0.0

    def note_death(self, age_seconds: float) -> float:
        self.deaths = 1 if age_seconds > STEADY_SECONDS else self.deaths + 1
        pause = FIRST_PAUSE_SECONDS * 2 ** (self.deaths - 2) if self.deaths > 1 else 0.0
        pause = min(pause, MAX_PAUSE_SECONDS)
        self.start_at = time.monotonic() + pause
        return pause


class Supervisor:
    """Runs in the main thread; `stop_asked` is set by a signal or by the caller."""

    def __init__(self, home: Home, console: Console, environment: Mapping[str, str]) -> None:
        self._home, self._console, self._environment = home, console, environment
        self._keepers: dict[str, _RestartBackoff] = {}
        self.stop_asked = threading.Event()
        self._signals = 0
        self._looked_at = time.monotonic()
        self._unwritten_pids: dict[str, int] = {}
        self._write_again_at = 0.0
        self.redis_answers = True
        signal.signal(signal.SIGTERM, self._on_signal)
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and a shell's `&` want it
                signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1
        self.stop_asked.set()

    def say(self, level: str, message: str) -> None:
        self._console.say("up", f"{level} {message}")

    def begin(self, part: Part) -> Child:
        """Start a part that ends by itself; `finish` waits for it."""
        return self._child(part)

    def _child(self, part: Part) -> Child:
        return Child(part, self._environment, self._console, self._home.alive_file(part.name))

    def finish(self, child: Child) -> int:
        """The exit code of what `begin` started, or that of a kill when a stop was asked for."""
        while not child.wait(POLL_SECONDS):
            if self.stop_asked.is_set():
                child.kill()
        return child.exit_code() or 0

    def add(self, parts: Sequence[Part]) -> None:
        for part in parts:
            keeper = self._keepers.setdefault(part.name, _RestartBackoff(part))
            self._start(keeper)

    def _start(self, keeper: _RestartBackoff) -> None:
        try:
            keeper.child = self._child(keeper.part)
        except OSError as error:  # no memory, no process or no file is free at the moment
            pause = keeper.note_death(0.0)
            self.say("ERROR", f"{keeper.part.name} cannot be started: {error}; trying again in {pause:.1f} s")
            return
        self._unwritten_pids[keeper.part.name] = keeper.child.pid
        self._write_pids()

    def _write_pids(self) -> None:
        """Write the pid files that are due. A full disk is told, and tried again: the parts do not depend on it."""
        try:
            for name, pid in list(self._unwritten_pids.items()):
                self._home.note_pid(name, pid)
                del self._unwritten_pids[name]
        except OSError as error:
            if self._write_again_at == 0.0:
                self.say("ERROR", f"cannot write to {self._home.path}: {_describe_write_error(error)}")
            self._write_again_at = time.monotonic() + RETRY_WRITE_SECONDS
        else:
            if self._write_again_at:
                self.say("INFO", f"{self._home.path} can be written to again")
            self._write_again_at = 0.0

    def tend(self) -> None:
        """Look after every part once."""
        now = time.monotonic()
        passed, self._looked_at = min(now - self._looked_at, MAX_LOOK_SECONDS), now
        for keeper in self._keepers.values():
            if keeper.child is None:
                if now >= keeper.start_at:
                    self._start(keeper)
            elif (code := keeper.child.exit_code()) is not None:
                self._note_death(keeper, keeper.child, code)
            else:
                self._end_if_silent(keeper.child, passed)
        if self._unwritten_pids and now > self._write_again_at:
            self._write_pids()

    def _end_if_silent(self, child: Child, passed: float) -> None:
        child.look(passed)
        if child.part.needs_redis and not self.redis_answers:
            child.silent_seconds = 0.0
        limit = child.part.silent_limit
        if not child.is_ready:
            limit = max(limit, START_LIMIT_SECONDS)
        if child.silent_seconds > limit:
            self.say("WARNING", f"{child.part.name} hangs: no sign of life for {limit:.0f} s; ending it")
            child.kill()

    def note_sign(self, name: str) -> None:
        """A part gave a sign that another thread has seen."""
        keeper = self._keepers.get(name)
        if keeper and (child := keeper.child):
            child.note_sign()

    def _note_death(self, keeper: _RestartBackoff, child: Child, code: int) -> None:
        """The pid file stays until the next start replaces it: whoever watches it sees one pid, then the other."""
        self._home.forget_gauges(child.pid)
        keeper.child = None
        pause = keeper.note_death(child.age_seconds)
        when = f"in {pause:.1f} s" if pause else "now"
        row = f", {keeper.deaths} times in a row" if keeper.deaths > DEATHS_BEFORE_READY else ""
        self.say("WARNING", f"{keeper.part.name} {describe_exit(code)}{row}; starting it again {when}")

    def wait_until(self, condition: Callable[[], bool], what: Callable[[], str], seconds: float) -> None:
        """Tend the parts until `condition()`, and say now and then what is missing.

        Raises click.ClickException when a part cannot start, or the time is over.
        """
        began = time.monotonic()
        next_word = began + FIRST_WORD_SECONDS
        while not self.stop_asked.is_set() and not condition():
            self.tend()
            self._check_deaths()
            now = time.monotonic()
            if now > began + seconds:
                raise click.ClickException(f"not ready after {seconds:.0f} s: {what()}")
            if now > next_word:
                next_word = now + NEXT_WORD_SECONDS
                self.say("INFO", f"waiting, since {what()}")
            self.stop_asked.wait(POLL_SECONDS)

    def _check_deaths(self) -> None:
        for keeper in self._keepers.values():
            if keeper.deaths > DEATHS_BEFORE_READY:
                hint = f"; {keeper.part.hint}" if keeper.part.hint else ""
                raise click.ClickException(f"{keeper.part.name} cannot start: it ended {keeper.deaths} times{hint}")

    def unready(self) -> list[str]:
        return [name for name, keeper in self._keepers.items() if not (keeper.child and keeper.child.is_ready)]

    def youngest(self, names: Sequence[str]) -> float:
        """For how many seconds all of these have been running."""
        children = [self._keepers[name].child for name in names]
        return min(child.age_seconds if child else 0.0 for child in children)

    def restart(self, names: Sequence[str], why: str) -> None:
        """Kill parts that run but do nothing; `tend` starts them again."""
        for name in names:
            keeper = self._keepers[name]
            if keeper.child is not None:
                self.say("WARNING", f"{name} {why}: ending it")
                keeper.child.kill()

    def stop(self, order: Sequence[Sequence[str]]) -> None:
        """Stop group after group; a second signal, or a part that takes too long, ends it by force."""
        for names in order:
            children = [keeper.child for name in names if (keeper := self._keepers.get(name)) and keeper.child]
            for child in children:
                child.ask_to_stop()
            started = time.monotonic()
            for child in children:
                self._stop_or_kill(child, started)
            for name in names:
                self._home.forget_pid(name)

    def _stop_or_kill(self, child: Child, started: float) -> None:
        while not child.wait(POLL_SECONDS):
            if self._signals > 1 or time.monotonic() - started > child.part.stop_seconds:
                self.say("WARNING", f"{child.part.name} did not stop in time: killed")
                child.kill()
        self._home.forget_pid(child.part.name)


def _describe_write_error(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full; parts go on, and are started again as needed" if full else os.strerror(error.errno or 0)
