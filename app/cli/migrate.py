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
        from app.core import schema_version
        from app.core.migration import upgrade
        from app.observability.logging import init_logging

        settings = load_config()
        app = create_background_app(settings)
    init_logging(settings)
    try:
        with app.app_context():
            revision = schema_version.present()
            if schema_version.state_of(revision) is schema_version.SchemaState.AHEAD:
                words = schema_version.newer_release_words(revision)
                raise click.ClickException(f"{words}; run that release, or restore an older copy of the database")
            upgrade()
    except (OperationalError, InterfaceError) as error:
        raise click.ClickException(f"the database does not do it: {error.orig}") from error
