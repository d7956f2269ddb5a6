"""The database's schema, brought up or down; needs an app context.

Imported where that is done and nowhere else: Alembic's start is slower than that of all the rest of a worker.
"""

from pathlib import Path

import flask_migrate
from flask import current_app

from app.extensions import db

FOLDER = Path(__file__).parent / "migrations"


def upgrade(revision: str = "head") -> None:
    """Apply the steps up to `revision`. Ends the process with status 1 when one fails."""
    _tell_app()
    flask_migrate.upgrade(revision=revision)


def downgrade(revision: str) -> None:
    """Take the steps above `revision` back; `-1` is one step."""
    _tell_app()
    flask_migrate.downgrade(revision=revision)


def _tell_app() -> None:
    flask_migrate.Migrate(current_app, db, directory=str(FOLDER))
