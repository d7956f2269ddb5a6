"""Entry of web processes: patches the runtime before anything else is imported, then creates the app.

The `flask` command has imported Flask already when it loads this module, and serves no sockets: nothing is patched.
"""

import os

from app.core import runtime

is_flask_command = os.environ.get("FLASK_RUN_FROM_CLI") == "true"
if not is_flask_command:
    runtime.patch()

from app.config import ConfigError, load_config  # noqa: E402
from app.factory import create_app  # noqa: E402
from app.observability import telemetry  # noqa: E402

try:
    settings = load_config()
except ConfigError as error:
    if is_flask_command:
        from flask.cli import NoAppException

        raise NoAppException(str(error)) from None
    raise
telemetry.init_logging(settings)
telemetry.report_crashes(settings)
app = create_app(settings, serve_sockets=not is_flask_command)
if is_flask_command:  # for `flask --app wsgi db …`: Alembic is a sixth of the start of a process
    from flask_migrate import Migrate

    from app.core import extensions, migration

    Migrate(app, extensions.db, directory=str(migration.FOLDER))
telemetry.start_tracing(settings)
