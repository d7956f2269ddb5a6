"""Runs commands of `dashboard` as a user does, and reads their output."""

import logging
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import requests
from click.testing import CliRunner

from app.cli import main
from tests.support.apps import forget_broker
from tests.support.machine_speed import patience
from tests.support.stack import COMMAND, SHADOW, Stack

OWN_SETTINGS = ("DASHBOARD_", "REDIS_", "ROOMS_REDIS_", "DATABASE_")


def run_command(
    *arguments: str, environment: Mapping[str, str], folder: Path | None = None, seconds: float = 60
) -> "subprocess.CompletedProcess[str]":
    """Run `dashboard ARGUMENTS` with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=inherited | {"PYTHONPATH": str(SHADOW)} | dict(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=patience(seconds),
    )


def call_command(*arguments: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """As `run_command`, in this process: a process costs up to 1.5 s of processor time."""
    unset = {name: None for name in os.environ if name.startswith(OWN_SETTINGS)}
    try:
        with patch.dict(os.environ):  # the command cleans its environment for good
            ended = CliRunner().invoke(main, arguments, env=unset | dict(environment))
    finally:
        logging.disable(logging.NOTSET)  # as `doctor` does not
        forget_broker()
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)


def run_in(stack: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `dashboard ARGUMENTS` in the stack's folder with its settings."""
    return run_command(*arguments, environment=stack.environment, folder=stack.folder)


def run_doctor(environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return run_command("doctor", environment=environment, seconds=90)


def verdicts(doctor: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """`ok` or `FAIL` of each check."""
    lines = [line for line in doctor.stdout.splitlines() if line.startswith(("ok", "FAIL"))]
    return {line[5:].partition(":")[0]: line[:4].strip() for line in lines}


def is_ready(stack: Stack) -> bool:
    try:
        return requests.get(f"{stack.url}/readyz", timeout=patience(2)).status_code == 200
    except requests.RequestException:
        return False


def has_new_pid(stack: Stack, process: str, old: int) -> bool:
    try:
        return stack.pid(process) != old
    except FileNotFoundError:
        return False
