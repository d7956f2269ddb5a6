"""The database's schema, brought up or down; needs an app context.

Imported where that is done and nowhere else: Alembic's start is slower than that of all the rest of a worker.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config

FOLDER = Path(__file__).parents[1] / "migrations"


def upgrade(revision: str = "head") -> None:
    """Apply the steps up to `revision`. Raises SQLAlchemyError, alembic.util.CommandError."""
    command.upgrade(_config(), revision)


def downgrade(revision: str) -> None:
    """Take the steps above `revision` back; `-1` is one step."""
    command.downgrade(_config(), revision)


def _config() -> Config:
    config = Config(FOLDER / "alembic.ini")
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config
