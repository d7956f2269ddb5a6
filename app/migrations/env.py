"""Alembic runs inside the Flask app: `dashboard migrate`, `dashboard up`, `flask --app wsgi db …`, and the tests."""

from typing import Any

from alembic import context

from app.core.database import WRITE_WAIT_SECONDS
from app.core.extensions import db


def drop_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Write no file when `flask db migrate` finds no change."""
    if getattr(context.config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
        directives.clear()


is_sqlite = db.engine.dialect.name == "sqlite"
with db.engine.connect().execution_options(sqlite_begin="IMMEDIATE") as connection:
    if (
        is_sqlite
    ):  # wait for other writers, such as a running system; requests must not, so they never get this connection
        connection.detach()
        connection.connection.execute(f"PRAGMA busy_timeout={WRITE_WAIT_SECONDS * 1000:.0f}")
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_as_batch=is_sqlite,
        compare_type=True,
        process_revision_directives=drop_empty,
    )
    with context.begin_transaction():
        context.run_migrations()
