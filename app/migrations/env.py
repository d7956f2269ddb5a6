"""Alembic runs inside the Flask app: `dashboard migrate`, `dashboard up`, `flask --app wsgi db …`, and the tests."""

from typing import Any

from alembic import context

from app.core.extensions import db


def drop_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Write no file when `flask db migrate` finds no change."""
    if getattr(context.config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
        directives.clear()


with db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        process_revision_directives=drop_empty,
    )
    with context.begin_transaction():
        context.run_migrations()
