"""Alembic runs inside the Flask app: `dashboard migrate`, `dashboard up`, and the tests."""

from alembic import context
from flask import current_app

database = current_app.extensions["migrate"].db


def run() -> None:
    engine = database.engine
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            render_as_batch=engine.dialect.name == "sqlite",
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
