"""`dashboard migrate`: bring the database to the newest schema."""

import click

from app.cli.gc_freeze import loading


@click.command()
def migrate() -> None:
    """Create or upgrade the database's tables."""
    with loading():
        from sqlalchemy.exc import InterfaceError, OperationalError

        from app.background import create_background_app
        from app.config import load_config
        from app.core import migration
        from app.observability.logging import init_logging

        settings = load_config()
        app = create_background_app(settings)
    init_logging(settings)
    try:
        with app.app_context():
            revision = migration.current_revision()
            if migration.state_of(revision) is migration.SchemaState.AHEAD:
                words = migration.describe_newer_schema(revision)
                raise click.ClickException(f"{words}; run that release, or restore an older copy of the database")
            migration.upgrade()
    except (OperationalError, InterfaceError) as error:
        raise click.ClickException(f"the database does not do it: {error.orig}") from error
