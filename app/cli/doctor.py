"""`dashboard doctor`: checks the running system, and says what to do about each failure."""

import click


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check configuration, database, Redis, workers and the ledger."""
    from app.cli import doctor_checks  # loads the application: `dashboard --help` need not

    ctx.exit(0 if doctor_checks.run_all() else 1)
