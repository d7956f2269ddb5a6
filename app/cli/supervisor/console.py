"""One readable stream out of many processes: `part | LEVEL message`.

Printing never holds up a part: when nobody reads the stream, lines are dropped and counted. Where all lines go to a
log file, people at a terminal see warnings and what `up` itself tells.
"""

import contextlib
import errno
import os
import queue
import re
import threading
from pathlib import Path

MAX_WAITING_LINES = 10_000
PART_WIDTH = 15
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}


MAX_LOG_BYTES = 10 * 1024 * 1024
SHOWN_BESIDE_LOG = ("WARNING", "ERROR", "CRITICAL")


class LogFile:
    """Two files of bounded size. What a full disk does not take is lost; the system goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._bytes = 0

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._bytes > MAX_LOG_BYTES:
                self._rotate()
            if self._descriptor < 0:
                self.path.parent.mkdir(mode=0o700, exist_ok=True)
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                self._bytes = os.fstat(self._descriptor).st_size
            self._bytes += os.write(self._descriptor, data)

    def _rotate(self) -> None:
        os.close(self._descriptor)
        self._descriptor, self._bytes = -1, 0
        self.path.replace(self.path.with_suffix(".1.log"))


class Console:
    """Prints from a thread of its own to a file descriptor."""

    def __init__(self, descriptor: int = 1, log: LogFile | None = None) -> None:
        self._descriptor, self._log = descriptor, log
        self._colour = os.isatty(descriptor) and not os.environ.get("NO_COLOR")
        self._lines: queue.Queue[tuple[bytes, bytes] | None] = queue.Queue(MAX_WAITING_LINES)
        self._dropped = 0
        self._broken = False
        self._thread = threading.Thread(target=self._print_all, daemon=True)
        self._thread.start()

    @property
    def log_path(self) -> Path | None:
        return self._log.path if self._log else None

    def say(self, part: str, line: str) -> None:
        found = _LEVEL.search(line)
        is_shown = self._log is None or part == "up" or found is None or found[1] in SHOWN_BESIDE_LOG
        whole = f"{part:<{PART_WIDTH}} | {line}"
        if self._colour:
            line = _LEVEL.sub(lambda match: f"\x1b[{_COLOURS[match[1]]}m{match[1]}\x1b[0m", line, count=1)
        self._put(whole, f"{part:<{PART_WIDTH}} | {line}" if is_shown else "")

    def plain(self, line: str) -> None:
        self._put(line, line)

    def _put(self, logged: str, shown: str) -> None:
        pair = (_encoded(logged) if self._log else b"", _encoded(shown))
        try:
            self._lines.put_nowait(pair)
        except queue.Full:
            self._dropped += 1

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Print what waits, unless nobody reads."""
        try:
            self._lines.put(None, timeout=timeout_seconds)
        except queue.Full:
            return
        self._thread.join(timeout_seconds)

    def _print_all(self) -> None:
        while (pair := self._lines.get()) is not None:
            logged, shown = pair
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                shown = f"up | WARNING output was not read: {dropped} lines dropped\n".encode() + shown
            if self._log and logged:
                self._log.write(logged)
            self._write(shown)

    def _write(self, data: bytes) -> None:
        # os.write, not sys.stdout: a thread that is stuck in a stream would hold up the interpreter's exit
        while data and not self._broken:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                self._broken = error.errno in (errno.EPIPE, errno.EBADF)
                return  # a full disk loses this line alone


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "replace") + b"\n" if line else b""
