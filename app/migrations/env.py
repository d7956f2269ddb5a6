"""Alembic runs inside the Flask app: `dashboard migrate`, `dashboard up`, and the tests."""

from alembic import context

from app.core.extensions import db


def run() -> None:
    engine = db.engine
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            render_as_batch=engine.dialect.name == "sqlite",
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
