"""One readable stream from many processes: `process | LEVEL message`, on standard output and in a log file.

Printing never blocks a process: when nobody reads the stream, lines are dropped and counted. Where a log file takes
all lines, a terminal shows warnings and the supervisor's own messages.
"""

import contextlib
import errno
import os
import queue
import re
import threading
from pathlib import Path

SUPERVISOR = "up"
MAX_WAITING_LINES = 10_000
MAX_LOG_BYTES = 10 * 1024 * 1024
SHOWN_BESIDE_LOG = ("WARNING", "ERROR", "CRITICAL")
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_ERROR_LINE = re.compile(r"Traceback \(|Error: |During handling of the above|The above exception was")
_WARNING_LINE = re.compile(r"\S+: \w*Warning: ")


class LevelPrefixer:
    """Gives each line of one process a level, also lines that bypass its log: a crash, a library's messages."""

    def __init__(self) -> None:
        self._level = "INFO"
        self._in_traceback = False

    def add_level(self, line: str) -> str:
        """Return the line with its level in front; JSON lines carry their own. Call it in the order of the lines."""
        if line.startswith("{"):
            return line
        if found := _LEVEL.match(line):
            self._level, self._in_traceback = found[1], False
            return line
        if not line[:1].isspace():  # the first line of a message, or the last of a traceback
            is_error = self._in_traceback or _ERROR_LINE.match(line)
            other_level = "WARNING" if _WARNING_LINE.match(line) else "INFO"
            self._level = "ERROR" if is_error else other_level
            self._in_traceback = line.startswith("Traceback (")
        return f"{self._level} {line}"


class Console:
    """Prints to a file descriptor, from its own thread."""

    def __init__(self, descriptor: int = 1, log: Path | None = None) -> None:
        self.log = log
        self._descriptor = descriptor
        self._has_colour = os.isatty(descriptor) and not os.environ.get("NO_COLOR")
        self._lines: queue.Queue[tuple[str, str] | None] = queue.Queue(MAX_WAITING_LINES)
        self._dropped = 0
        self._is_broken = False
        self._thread = threading.Thread(target=self._print_all, daemon=True)
        self._thread.start()

    def print_line(self, process: str, line: str) -> None:
        """Print a line of a process; its level is in the line. Without the name of a process, the line stands alone."""
        level = _LEVEL.search(line)
        is_shown = not self.log or process in ("", SUPERVISOR) or level is None or level[1] in SHOWN_BESIDE_LOG
        prefix, logged = f"{process:<15} | " if process else "", line
        if self._has_colour:
            line = _LEVEL.sub(lambda match: f"\x1b[{_COLOURS[match[1]]}m{match[1]}\x1b[0m", line, count=1)
        try:
            self._lines.put_nowait((f"{prefix}{logged}\n", f"{prefix}{line}\n" if is_shown else ""))
        except queue.Full:
            self._dropped += 1

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Print the waiting lines, unless nobody reads them."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=timeout_seconds)
            self._thread.join(timeout_seconds)

    def _print_all(self) -> None:
        while (pair := self._lines.get()) is not None:
            logged, shown = pair
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                shown = f"up | WARNING output was not read: {dropped} lines dropped\n{shown}"
            if self.log:
                _append(self.log, logged.encode("utf-8", "replace"))
            self._write(shown.encode("utf-8", "replace"))

    def _write(self, data: bytes) -> None:
        # os.write, because a thread blocked in sys.stdout would block the interpreter's exit.
        while data and not self._is_broken:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                self._is_broken = error.errno in (errno.EPIPE, errno.EBADF)
                return  # a full disk loses this line only


def _append(log: Path, data: bytes) -> None:
    """Keep two files of bounded size. Lines that do not fit on a full disk are lost; the system goes on.

    Not logging's RotatingFileHandler, which keeps what a full disk refused in memory and prints a traceback a line.
    """
    with contextlib.suppress(OSError):
        log.parent.mkdir(mode=0o700, exist_ok=True)
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_suffix(".1.log"))
        with log.open("ab", buffering=0) as file:
            file.write(data)
