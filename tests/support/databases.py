"""A migrated database per test, copied from a template that is migrated once."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.background import create_background_app
from app.config import load_config
from app.core.extensions import db
from app.core.migration import upgrade
from tests.support.servers import Postgres

TEMPLATE = "dashboard_template"


def environment(*, home: Path, database_url: str, redis_url: str, signing_key: str, **more: str) -> dict[str, str]:
    """The settings of a system under test, as environment variables."""
    return {
        "DASHBOARD_HOME": str(home),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DASHBOARD_SIGNING_KEY": signing_key,
        **more,
    }


def migrate(database_url: str, home: Path) -> None:
    """Bring an empty database to the newest schema, as `dashboard migrate` does."""
    settings = environment(
        home=home,
        database_url=database_url,
        redis_url="redis://127.0.0.1:1/0",
        signing_key=secrets.token_hex(32),
    )
    app = create_background_app(load_config(settings))
    with app.app_context():
        upgrade()
        db.engine.dispose()


def sqlite_template(folder: Path) -> Path:
    path = folder / "template.db"
    migrate(f"sqlite:///{path}", folder)
    return path


def postgres_template(server: Postgres, folder: Path) -> str:
    migrate(server.create(TEMPLATE), folder)
    return TEMPLATE


def copy_sqlite(template: Path, folder: Path) -> str:
    target = folder / "dashboard.db"
    for suffix in ("", "-wal"):
        if Path(f"{template}{suffix}").exists():
            shutil.copyfile(f"{template}{suffix}", f"{target}{suffix}")
    return f"sqlite:///{target}"


@contextmanager
def copy_postgres(server: Postgres, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    url = server.create(name, template)
    try:
        yield url
    finally:
        server.drop(name)


def unguard_ledger(session: Session) -> None:
    """Drop the triggers that make ledger entries append-only, as a database administrator could."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ALTER TABLE bounty_entries DISABLE TRIGGER bounty_entries_append_only"))
        return
    for verb in ("update", "delete"):
        session.execute(text(f"DROP TRIGGER bounty_entries_no_{verb}"))
