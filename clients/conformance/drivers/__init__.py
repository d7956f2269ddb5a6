"""The drivers of this repository's packages."""

import sys
from pathlib import Path

from clients.conformance.driver import Command
from tests.support.node import client_modules, node_binary

FOLDER = Path(__file__).parent


def python() -> Command:
    return Command("python", [sys.executable, str(FOLDER / "python_driver.py")])


def javascript() -> Command:
    modules = {"CLIENT_MODULES": str(client_modules())}
    return Command("javascript", [node_binary(), str(FOLDER / "js_driver.mjs")], environment=modules)


def both() -> list[Command]:
    return [python(), javascript()]
