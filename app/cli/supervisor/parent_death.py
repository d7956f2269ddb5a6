"""Runs a command that ends with its parent, even a killed one: `parent_death.py PARENT_PID COMMAND…`.

A script of its own, because the tie must exist before the command's first instruction. Linux only (prctl(2)):
elsewhere the children of a killed parent live on.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends: of forks, and of a killed worker's pool processes."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends. Exits at once if the parent has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the supervisor gives the command
