"""The processes of the system: `dashboard web`, `worker`, `beat` and `migrate`.

They import the application when they run: it needs a complete configuration, and `web` must patch the runtime first.
"""

import logging
import os
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from app.cli.process_setup import gc_freeze, raise_file_limit
from app.cli.supervisor.parent_death import end_with_parent
from app.core.queues import ALL_QUEUES
from app.observability import probe


@click.command()
@click.option("--host", default="127.0.0.1", help="address to listen on")
@click.option(
    "--port", default=5000, envvar="PORT", show_envvar=True, type=click.IntRange(0, 65535), help="port to listen on"
)
@click.option("--reuse-port", is_flag=True, help="share the port with other web processes")
def web(host: str, port: int, *, reuse_port: bool) -> None:
    """Serve REST, Socket.IO and the page."""
    raise_file_limit()
    with gc_freeze():
        import wsgi  # isort: skip - patches the runtime: comes before everything that opens sockets
    from app.core import runtime
    from app.http.server.serving import serve
    from app.observability import process_registry, telemetry

    try:
        listener = runtime.listen(host, port, reuse_port=reuse_port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from error
    runtime.spawn(_give_signs_of_life, runtime.sleep)
    try:
        serve(wsgi.app, listener, grace_seconds=wsgi.settings.shutdown_grace)
    finally:
        with wsgi.app.app_context():
            process_registry.leave()
        telemetry.finish()


def _give_signs_of_life(sleep: Callable[[float], None]) -> None:
    """Runs in a greenthread, so a blocked event loop gives no sign."""
    while True:
        probe.touch("web")
        sleep(probe.TOUCH_SECONDS)


@click.command()
@click.option("--queues", default=",".join(ALL_QUEUES), help="queues to serve, comma-separated")
@click.option("--concurrency", default=2, type=click.IntRange(min=1), help="tasks at a time")
@click.option("--name", default="worker", help="the worker's name in Celery's messages")
def worker(queues: str, concurrency: int, name: str) -> None:
    """Run background tasks: room drains, payments, maintenance."""
    unknown = sorted(set(queues.split(",")) - set(ALL_QUEUES))
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(ALL_QUEUES)}", param_hint="--queues")
    with gc_freeze():
        from celery import signals
        from celery.exceptions import CPendingDeprecationWarning
        from celery.utils.nodenames import default_nodename

        import celery_worker

    warnings.filterwarnings("ignore", message="(?s).*superuser privileges")  # root in a container is not privileged
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    signals.worker_process_init.connect(partial(_end_with_worker, os.getpid()), weak=False)
    celery_process = celery_worker.celery.Worker(
        queues=queues,
        concurrency=concurrency,
        hostname=default_nodename(f"{name}@"),
        pool="prefork",
        quiet=True,
        without_mingle=True,
        without_gossip=True,
        loglevel=celery_worker.settings.log_level,
    )
    celery_process.start()
    raise SystemExit(celery_process.exitcode or 0)


def _end_with_worker(worker_pid: int, **_: Any) -> None:
    """Tie a pool process to its worker; otherwise it outlives a killed worker, and its task's result is lost."""
    end_with_parent(worker_pid)


@click.command()
def beat() -> None:
    """Tick: start periodic tasks when they are due."""
    with gc_freeze():
        import redis

        import celery_worker
        from app.observability import process_registry, telemetry

    logging.getLogger("celery.beat").addFilter(_drop_traceback)
    try:
        celery_worker.celery.Beat(quiet=True, loglevel=celery_worker.settings.log_level).run()
    except redis.RedisError as error:
        raise click.ClickException(f"beat ends: Redis does not answer: {error}") from error
    finally:
        with celery_worker.flask_app.app_context():
            process_registry.leave()
        telemetry.finish()


def _drop_traceback(record: logging.LogRecord) -> bool:
    """Celery logs a traceback of the error that `beat` reports in one line."""
    record.exc_info = None
    return True


@click.command()
def migrate() -> None:
    """Create or upgrade the database's tables."""
    with gc_freeze():
        from sqlalchemy.exc import InterfaceError, OperationalError

        from app.background import create_background_app
        from app.config import load_config
        from app.core import migration
        from app.observability.telemetry import init_logging

        settings = load_config()
        app = create_background_app(settings)
    init_logging(settings)
    try:
        with app.app_context():
            revision = migration.current_revision()
            if migration.state_of(revision) is migration.SchemaState.AHEAD:
                problem = migration.describe_newer_schema(revision)
                raise click.ClickException(f"{problem}; run that release, or restore an older copy of the database")
            migration.upgrade()
    except (OperationalError, InterfaceError) as error:
        raise click.ClickException(f"the database refused the migration: {error.orig}") from error
