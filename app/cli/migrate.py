"""`dashboard migrate`: bring the database to the newest schema."""

import click

from app.cli.loading import loading


@click.command()
def migrate() -> None:
    """Create or upgrade the database's tables."""
    with loading():
        from sqlalchemy.exc import InterfaceError, OperationalError

        from app import create_app
        from app.config import load_config
        from app.migration import upgrade
        from app.observability.logging import init_logging

        settings = load_config()
        app = create_app(settings, serve_rest=False)
    init_logging(settings)
    try:
        with app.app_context():
            upgrade()
    except (OperationalError, InterfaceError) as error:
        raise click.ClickException(f"the database does not do it: {error.orig}") from error
