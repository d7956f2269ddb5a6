"""The drivers of this repository's packages."""

import sys
from pathlib import Path

from clients.conformance.driver import Command
from tests.support.node import client_modules

FOLDER = Path(__file__).parent


def python() -> Command:
    return Command("python", [sys.executable, str(FOLDER / "python_driver.py")])


def javascript() -> Command:
    argv = ["node", str(FOLDER / "js_driver.mjs")]
    return Command("javascript", argv, environment=lambda: {"CLIENT_MODULES": str(client_modules())})


def both() -> list[Command]:
    return [python(), javascript()]
