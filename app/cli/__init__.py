"""The `dashboard` command. Each command's module is imported when it is used, so that `dashboard token` starts fast."""

import os
import sys
from importlib import import_module
from typing import Any

import click

from app.config import ConfigError

MODULES = {
    **dict.fromkeys(("web", "worker", "beat", "migrate", "doctor"), "app.cli.processes"),
    "up": "app.cli.supervisor.up",
    "token": "app.cli.token",
    "simulate": "app.cli.simulate",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Celery and Flask read these themselves: CELERY_BROKER_URL would override REDIS_URL.
FOREIGN_SETTINGS = ("CELERY_", "FLASK_")

host_option = click.option("--host", default="127.0.0.1", help="address to listen on")
port_option = click.option(
    "--port",
    default=5000,
    envvar="PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    help="port to listen on; 0 takes a free one",
)


class LazyGroup(click.Group):
    """Imports a command when it is asked for, and reports configuration errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        return getattr(import_module(MODULES[cmd_name]), cmd_name) if cmd_name in MODULES else None

    def invoke(self, ctx: click.Context) -> Any:
        _open_standard_streams()
        _clean_environment()
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(str(error), err=True)
            sys.exit(2)


def _open_standard_streams() -> None:
    """Open descriptors 0 to 2 if they are closed; otherwise the next opened file would receive the log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stdin, stdout, stderr
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open


def _clean_environment() -> None:
    """Remove other programs' settings, and exempt this machine's own addresses from proxies."""
    for name in [each for each in os.environ if each.startswith(FOREIGN_SETTINGS)]:
        del os.environ[name]
    for name in ("no_proxy", "NO_PROXY"):
        given = [each for each in os.environ.get(name, os.environ.get("no_proxy", "")).split(",") if each.strip()]
        os.environ[name] = ",".join([*given, *(each for each in LOOPBACK if each not in given)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="dashboard-realtime")
def main() -> None:
    """Dashboard Realtime: agent progress, bounty pools and vulnerability status, live."""
