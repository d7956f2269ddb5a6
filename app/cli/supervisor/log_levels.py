"""A level for each line of a part, also for what is printed past the log: a crash, a library's own words."""

import re

_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_FAILURE = re.compile(r"Traceback \(|Error: |During handling of the above|The above exception was")
_WARNING = re.compile(r"\S+: \w*Warning: ")


class Levels:
    """Reads one part's lines in their order."""

    def __init__(self) -> None:
        self._last = "INFO"
        self._in_traceback = False

    def give(self, line: str) -> str:
        """The line with its level in front; JSON is for machines and carries its own."""
        if line.startswith("{"):
            return line
        if found := _LEVEL.match(line):
            self._last, self._in_traceback = found[1], False
            return line
        if not line[:1].isspace():
            self._last = self._level_of(line)
        return f"{self._last} {line}"

    def _level_of(self, line: str) -> str:
        """Of a line that is not indented: it begins something, or is the last one of a traceback."""
        if _FAILURE.match(line):
            self._in_traceback = line.startswith("Traceback")
            return "ERROR"
        if self._in_traceback:
            self._in_traceback = False
            return "ERROR"
        return "WARNING" if _WARNING.match(line) else "INFO"
