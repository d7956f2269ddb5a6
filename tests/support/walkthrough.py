"""Runs the shell blocks of a page in order, in one shell, against a fresh `dashboard up --demo`."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import document_tools
from tests.support.machine_speed import patience
from tests.support.processes import free_port, kill_group, start, stop, until
from tests.support.stack import COMMAND, NOT_INHERITED, ROOT, SHADOW, START_SECONDS

COPIED = ("README.md", "docs", "clients/js")
PORT, PAYOUT_PORT = ":5000", "8099"  # as the pages have them
BLOCK = re.compile(
    r"(?P<until><!-- until Ctrl-C -->\n)?```sh\n(?P<commands>.*?)```\n(?:```(?:json|text)\n(?P<answer>.*?)```)?",
    re.DOTALL,
)
READS_ONLY = re.compile(r"(api GET .*\n)+")
COMMAND_SECONDS, ANSWER_SECONDS = 60, 20
_SHELL = """set -a -e -o pipefail
trap '{{ export -p; declare -f; printf "cd %q\\n" "$PWD"; }} > {state}' EXIT
[ ! -f {state} ] || . {state}
{commands}"""


@dataclass(frozen=True)
class Block:
    """The commands of one fence and their expected output; `…` matches anything within a line."""

    commands: str
    answer: str
    until_interrupted: bool

    @property
    def reads_only(self) -> bool:
        """Whether the block may be repeated, because a worker may not have finished yet."""
        return READS_ONLY.fullmatch(self.commands) is not None

    def matches(self, output: str) -> bool:
        expected, actual = _lines(self.answer), _lines(output)
        if self.until_interrupted:
            return all(any(_matches(line, each) for each in actual) for line in expected)
        return not expected or (len(expected) == len(actual) and all(map(_matches, expected, actual)))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _matches(expected: str, actual: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), actual) is not None


def blocks_of(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["commands"], each["answer"] or "", each["until"] is not None) for each in found]


class Reader:
    """Runs the commands of a page in a clone, with other ports, and with what `renamed` has in place of other words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()
        self._ports = {PORT: f":{self._port}", PAYOUT_PORT: str(free_port())}
        self.renamed: dict[str, str] = {}
        self._state = folder / "shell-state"
        self._environment = {name: value for name, value in os.environ.items() if not NOT_INHERITED.match(name)}
        self._environment["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._clone()

    def _clone(self) -> None:
        for name in COPIED:
            source, target = ROOT / name, self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            ignored = shutil.ignore_patterns("node_modules", "build", "package-lock.json")
            shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copyfile(source, target)
        stand_in = [sys.executable, ROOT / "tests" / "support" / "npm_offline.py", document_tools.modules()]
        self._script(self.folder / ".venv" / "bin" / "dashboard", COMMAND)
        self._script(self.folder / ".venv" / "bin" / "python", [sys.executable])
        self._script(self.folder / "bin" / "npm", stand_in)

    @staticmethod
    def _script(path: Path, argv: list[object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec {" ".join(map(str, argv))} "$@"\n', encoding="utf-8")
        path.chmod(0o755)

    def as_run(self, text: str) -> str:
        """The text of a page with the ports and names that are used here."""
        for documented, real in (self._ports | self.renamed).items():
            text = text.replace(documented, real)
        return text

    @contextmanager
    def demo(self, **settings: str) -> Iterator[None]:
        """The system that `make run` starts with these settings."""
        log = self.folder / "demo.log"
        argv = [*COMMAND, "up", "--demo", "--port", str(self._port)]
        environment = self._environment | {"PYTHONPATH": str(SHADOW)} | settings
        process = start(argv, log=log, env=environment, cwd=self.folder)
        try:
            until(lambda: "ready: http" in log.read_text() or process.poll() is not None, START_SECONDS, "it is ready")
            assert process.poll() is None, log.read_text()
            until(lambda: "protocolId=demo" in log.read_text(), START_SECONDS, "the demo's agents are at work")
            yield
        finally:
            stop(process, seconds=20)
            kill_group(process.pid)

    def open_a_new_shell(self) -> None:
        """Forget the variables and functions of the page before."""
        self._state.unlink(missing_ok=True)

    def run(self, block: Block) -> None:
        """Run the block. Raises AssertionError if a command fails or its output differs from the page."""
        block = Block(self.as_run(block.commands), self.as_run(block.answer), block.until_interrupted)
        if block.until_interrupted:
            self._watch(block)
        elif block.reads_only:
            until(lambda: block.matches(self._run(block)), ANSWER_SECONDS, f"{block}", pause=0.2)
        else:
            output = self._run(block)
            assert block.matches(output), f"{block}\n--- actual output\n{output}"

    def output(self, command: str) -> str:
        """What the command prints."""
        return self._run(Block(command, "", until_interrupted=False)).strip()

    def _argv(self, block: Block) -> list[str]:
        return ["bash", "-c", _SHELL.format(state=self._state, commands=block.commands)]

    def _run(self, block: Block) -> str:
        done = subprocess.run(
            self._argv(block), cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=patience(COMMAND_SECONDS),
        )  # fmt: skip
        assert done.returncode == 0, f"{block.commands}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def _watch(self, block: Block) -> None:
        log = self.folder / "watched.log"
        log.unlink(missing_ok=True)
        process = start(self._argv(block), log=log, env=self._environment, cwd=self.folder)
        try:
            until(lambda: block.matches(log.read_text()), ANSWER_SECONDS, f"{block}")
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n--- actual output\n{log.read_text()}") from None
        finally:
            os.killpg(process.pid, signal.SIGINT)
            stop(process)
            kill_group(process.pid)
