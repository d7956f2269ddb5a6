"""Runs commands as forks of a process that has imported the application: `fork_server background|web COMMAND…`.

The import is most of a command's start, and forks share its memory. Web processes have a server of their own, because
eventlet patches the standard library before anything else is imported.

Own code in place of multiprocessing's forkserver, whose processes are its children and end with it. Here the process
between the server and a fork ends at once, and the fork becomes a child of `up`, a subreaper (prctl(2)): `up` waits for
it as for any other child, and a killed server takes no process with it.

The COMMANDs are those that forks may run: in their place in memory a fork writes its own command, for `ps`.
"""

import ctypes
import json
import os
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from app.cli import main
from app.cli.processes import gc_freeze
from app.cli.supervisor.parent_death import end_with_parent
from app.core import runtime
from app.observability import probe

MAX_REQUEST_BYTES = 8192
MODULES = {
    "background": ("app.background", "app.observability.telemetry", "tasks.scheduler", "celery.apps.worker",
                   "celery.apps.beat", "celery.concurrency.prefork", "kombu.transport.redis"),
    "web": ("app.factory", "app.sockets.handlers", "app.streams.service", "app.http.server.serving"),
}  # fmt: skip
# What eventlet patches would run its event loop in the server, and forks would share its state.
_socket, _fork, _waitpid, _sleep = socket.socket, os.fork, os.waitpid, time.sleep


def serve(kind: str) -> list[str]:
    """Import the application, then fork for each request on standard input; return in the fork, with its arguments."""
    supervisor = os.getppid()
    with gc_freeze():
        if kind == "web":
            runtime.patch()
        for module in MODULES[kind]:
            import_module(module)
    probe.touch(kind)
    requests = _socket(fileno=os.dup(0))
    while True:
        message, outputs, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, 1)
        if not message:
            os._exit(0)  # `up` has ended
        if child := _fork():
            os.close(outputs[0])
            _waitpid(child, 0)
            continue
        between = os.getpid()
        if _fork():
            os._exit(0)
        while os.getppid() == between:
            _sleep(0.001)
        return _begin(json.loads(message), outputs[0], requests, supervisor)


def _begin(request: dict[str, Any], output: int, requests: socket.socket, supervisor: int) -> list[str]:
    """Make this fork as if `up` had executed the command, and report its pid."""
    end_with_parent(supervisor)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, used_as in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, used_as)
    os.close(nothing)
    os.close(output)
    os.environ.update(request["environment"])
    arguments: list[str] = request["arguments"]
    sys.argv = ["dashboard", *arguments]
    _write_command_line([*sys.orig_argv[: sys.orig_argv.index("-m")], "-m", "app.cli", *arguments])
    requests.send(str(os.getpid()).encode())
    requests.close()
    return arguments


def _write_command_line(command: list[str]) -> None:
    """Overwrite the arguments of this process, which the kernel shows in /proc; they keep their space."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    if not 0 < start < end:  # hidden by the system
        return
    text = b"\0".join(os.fsencode(each) for each in command)[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    arguments = serve(sys.argv[1])
    if sys.argv[1] == "web":
        runtime.renew_after_fork()
    main(arguments, prog_name="dashboard")
