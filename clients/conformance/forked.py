"""A driver in Python as a fork of a process that has imported it: the imports are most of the time of its start."""

import importlib
import multiprocessing
import os
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import IO

_lock = threading.Lock()  # each exit code can be read once, and multiprocessing reads all when it starts a process


class ForkedProcess:
    """The part of subprocess.Popen that a driver needs; `module` has the driver's `main`."""

    def __init__(self, module: str, environment: dict[str, str], stderr: IO[str]) -> None:
        reader, stdin = os.pipe()
        stdout, writer = os.pipe()
        self.stdin, self.stdout = os.fdopen(stdin, "w", encoding="utf-8"), os.fdopen(stdout, encoding="utf-8")
        streams = [
            Connection(reader, writable=False),
            Connection(writer, readable=False),
            Connection(os.dup(stderr.fileno()), readable=False),
        ]
        context = multiprocessing.get_context("forkserver")
        with _lock:
            context.set_forkserver_preload([module])
            self._process = context.Process(target=_run, args=(module, environment, streams), daemon=True)
            self._process.start()
        for each in streams:
            each.close()

    def poll(self) -> int | None:
        with _lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        multiprocessing.connection.wait([self._process.sentinel], timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("driver", timeout or 0.0)
        return code

    def kill(self) -> None:
        self._process.kill()


def _run(module: str, environment: dict[str, str], streams: list[Connection]) -> None:
    """In the fork: be the driver, with these variables and standard streams."""
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    importlib.import_module(module).main()
