"""The `dashboard` command. Each command's module is imported when it is used, so that `dashboard token` starts fast."""

import sys
from importlib import import_module
from typing import Any

import click

from app.cli import process_setup
from app.config import ConfigError

EXIT_BAD_CONFIGURATION = 2
MODULES = {
    "up": "app.cli.supervisor.up",
    "web": "app.cli.processes",
    "worker": "app.cli.processes",
    "beat": "app.cli.processes",
    "migrate": "app.cli.processes",
    "token": "app.cli.token",
    "doctor": "app.cli.doctor",
    "simulate": "app.cli.simulate",
}


class LazyGroup(click.Group):
    """Imports a command when it is asked for, and reports configuration errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        return getattr(import_module(MODULES[cmd_name]), cmd_name) if cmd_name in MODULES else None

    def invoke(self, ctx: click.Context) -> Any:
        process_setup.prepare()
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(str(error), err=True)
            sys.exit(EXIT_BAD_CONFIGURATION)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="dashboard-realtime")
def main() -> None:
    """Dashboard Realtime: agent progress, bounty pools and vulnerability status, live."""
