"""The `dashboard` command. Each command imports what it needs when it runs, so that `dashboard token` is quick."""

import sys
from typing import Any

import click

from app.cli import process_setup
from app.cli.doctor import doctor
from app.cli.migrate import migrate
from app.cli.simulate.simulation import simulate
from app.cli.supervisor.up import up
from app.cli.token import token
from app.cli.web import web
from app.cli.worker import beat, worker

EXIT_BAD_CONFIGURATION = 2


class Commands(click.Group):
    """Tells people what is wrong with their configuration, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        from app.config import ConfigError

        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(str(error), err=True)
            sys.exit(EXIT_BAD_CONFIGURATION)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="dashboard-realtime")
def main() -> None:
    """Dashboard Realtime: agent progress, bounty pools and vulnerability status, live."""
    process_setup.prepare()


for command in (up, web, worker, beat, migrate, token, doctor, simulate):
    main.add_command(command)
