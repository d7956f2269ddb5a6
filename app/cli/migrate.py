"""`dashboard migrate`: bring the database to the newest schema."""

import click

from app.cli.loading import loading


@click.command()
def migrate() -> None:
    """Create or upgrade the database's tables."""
    with loading():
        from app import create_app
        from app.config import load_config
        from app.migration import upgrade
        from app.observability.logging import init_logging

        settings = load_config()
        app = create_app(settings, serve_rest=False)
    init_logging(settings)
    with app.app_context():
        upgrade()
