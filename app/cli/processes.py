"""The commands that load the application: `dashboard web`, `worker`, `beat`, `migrate` and `doctor`.

They import it when they run: it needs a complete configuration, and `web` must patch the runtime first.
"""

import contextlib
import faulthandler
import gc
import logging
import os
import resource
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

import click

from app.cli import host_option, port_option
from app.cli.supervisor.parent_death import end_with_parent
from app.core.queues import ALL_QUEUES
from app.observability import probe

MAX_TOKEN_CHARACTERS = 10_000
WORKER_STOP_SECONDS = 55  # more than a task may take, less than containers and units have before SIGKILL


@contextlib.contextmanager
def gc_freeze() -> Iterator[None]:
    """Import faster without garbage collection, and let the pool processes of a worker share the modules' memory."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def check_rooms_redis(app: Any) -> None:
    """Raises click.ClickException for a Redis that cannot hold the rooms; one that does not answer is waited for."""
    import redis

    from app.core.redis_connection import UnsuitableServerError

    try:
        app.extensions["rooms_redis"].check_versions()
    except UnsuitableServerError as error:
        raise click.ClickException(str(error)) from error
    except redis.RedisError as error:
        logger = logging.getLogger(__name__)
        logger.warning("rooms_redis.unavailable", extra={"error": str(error)})


def end_within(seconds: float) -> None:
    """End this process by then, even if it hangs: with status 1, and with the stacks of its threads on stderr."""
    faulthandler.dump_traceback_later(seconds, exit=True)


@click.command()
@host_option
@port_option
@click.option("--reuse-port", is_flag=True, help="share the port with other web processes")
def web(host: str, port: int, *, reuse_port: bool) -> None:
    """Serve REST, Socket.IO and the page."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # each connection is an open file
    with gc_freeze():
        import wsgi  # isort: skip - patches the runtime: comes before everything that opens sockets
    from app.core import runtime
    from app.http.server.serving import serve
    from app.observability import process_registry, telemetry

    def give_signs_of_life() -> None:
        """Runs in a greenthread, so a blocked event loop gives no sign."""
        while True:
            probe.touch("web")
            runtime.sleep(probe.TOUCH_SECONDS)

    check_rooms_redis(wsgi.app)
    try:
        listener = runtime.listen(host, port, reuse_port=reuse_port)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from error
    runtime.spawn(give_signs_of_life)
    try:
        serve(wsgi.app, listener, grace_seconds=wsgi.settings.shutdown_grace)
    finally:
        with wsgi.app.app_context():
            process_registry.leave()
        telemetry.finish()


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
    own_pid = os.getpid()
    # Otherwise a pool process outlives a killed worker, and its task's result is lost.
    signals.worker_process_init.connect(lambda **_: end_with_parent(own_pid), weak=False)
    signals.worker_shutting_down.connect(lambda **_: end_within(WORKER_STOP_SECONDS), weak=False)
    check_rooms_redis(celery_worker.flask_app)
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


@click.command()
def beat() -> None:
    """Tick: start periodic tasks when they are due."""
    with gc_freeze():
        import redis

        import celery_worker
        from app.observability import process_registry, telemetry

    def drop_traceback(record: logging.LogRecord) -> bool:
        record.exc_info = None  # of the error that is reported in one line below
        return True

    logging.getLogger("celery.beat").addFilter(drop_traceback)
    try:
        celery_worker.celery.Beat(quiet=True, loglevel=celery_worker.settings.log_level).run()
    except redis.RedisError as error:
        raise click.ClickException(f"beat ends: Redis does not answer: {error}") from error
    finally:
        with celery_worker.flask_app.app_context():
            process_registry.leave()
        telemetry.finish()


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


@click.command()
@click.option("--token", type=click.File(), help="file with a token, `-` for standard input: tell what it permits")
@click.pass_context
def doctor(ctx: click.Context, token: TextIO | None) -> None:
    """Check configuration, identity provider, database, Redis, workers and the ledger."""
    from app.cli.doctor import run_all

    ctx.exit(0 if run_all(token.read(MAX_TOKEN_CHARACTERS).strip() if token else "") else 1)
