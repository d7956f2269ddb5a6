"""The drivers of this repository's packages."""

import argparse
import shlex
import sys
from pathlib import Path

from clients.conformance.driver import Command
from tests.support.node import client_modules

FOLDER = Path(__file__).parent


def python() -> Command:
    argv = [sys.executable, str(FOLDER / "python_driver.py")]
    return Command("python", argv, module="clients.conformance.drivers.python_driver")


def javascript() -> Command:
    argv = ["node", str(FOLDER / "js_driver.mjs")]
    return Command("javascript", argv, environment=lambda: {"CLIENT_MODULES": str(client_modules())})


OWN = {"python": python, "javascript": javascript}


def commands(line: str | None, roles: str, transports: str) -> list[Command]:
    """The command of a driver's command line; `python` and `javascript` name those here, None both."""
    if line is None or line in OWN:
        return [make() for name, make in OWN.items() if line in {None, name}]
    argv = shlex.split(line)
    return [Command(Path(argv[0]).name, argv, roles.split(","), transports.split(","))]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--driver", help="the driver's command line, or `python` or `javascript`; by default these two")
    parser.add_argument("--roles", default="room,agent", help="what the driver can be (default: %(default)s)")
    parser.add_argument("--transports", default="socketio,sse", help="what it can use (default: %(default)s)")
