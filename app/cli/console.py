"""One readable stream out of many processes: `part | LEVEL message`.

Printing never holds up a part: when nobody reads the stream, lines are dropped and counted.
"""

import os
import queue
import re
import threading

MAX_WAITING_LINES = 10_000
PART_WIDTH = 15
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}


class Console:
    """Prints from a thread of its own to a file descriptor."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._colour = os.isatty(descriptor) and not os.environ.get("NO_COLOR")
        self._lines: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING_LINES)
        self._dropped = 0
        self._broken = False
        self._thread = threading.Thread(target=self._print_all, daemon=True)
        self._thread.start()

    def say(self, part: str, line: str) -> None:
        if self._colour:
            line = _LEVEL.sub(lambda match: f"\x1b[{_COLOURS[match[1]]}m{match[1]}\x1b[0m", line, count=1)
        self.plain(f"{part:<{PART_WIDTH}} | {line}")

    def plain(self, line: str) -> None:
        try:
            self._lines.put_nowait(line.encode("utf-8", "replace") + b"\n")
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
        while (line := self._lines.get()) is not None:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                line = f"up | WARNING output was not read: {dropped} lines dropped\n".encode() + line
            self._write(line)

    def _write(self, data: bytes) -> None:
        # os.write, not sys.stdout: a thread that is stuck in a stream would hold up the interpreter's exit
        while data and not self._broken:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError:
                self._broken = True
