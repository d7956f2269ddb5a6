"""`dashboard worker` and `dashboard beat`: the Celery processes."""

import logging
import os
import warnings
from functools import partial
from typing import Any

import click

from app.cli.gc_freeze import loading
from app.core.queues import ALL_QUEUES


@click.command()
@click.option("--queues", default=",".join(ALL_QUEUES), help="queues to serve, comma-separated")
@click.option("--concurrency", default=2, type=click.IntRange(min=1), help="tasks at a time")
@click.option("--name", default="worker", help="the part's name in Celery's own messages")
def worker(queues: str, concurrency: int, name: str) -> None:
    """Run background tasks: realtime turns, payments, maintenance."""
    unknown = sorted(set(queues.split(",")) - set(ALL_QUEUES))
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(ALL_QUEUES)}", param_hint="--queues")
    with loading():
        from celery import signals
        from celery.exceptions import CPendingDeprecationWarning
        from celery.utils.nodenames import default_nodename

        import celery_worker

    warnings.filterwarnings("ignore", message="(?s).*superuser privileges")  # a container's root is no superuser
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    signals.worker_process_init.connect(partial(_end_with_worker, os.getpid()), weak=False)
    worker = celery_worker.celery.Worker(
        queues=queues,
        concurrency=concurrency,
        hostname=default_nodename(f"{name}@"),
        pool="prefork",
        quiet=True,
        without_mingle=True,
        without_gossip=True,
        loglevel=celery_worker.settings.log_level,
    )
    worker.start()
    raise SystemExit(worker.exitcode or 0)


@click.command()
def beat() -> None:
    """Tick: start periodic tasks when they are due."""
    with loading():
        import redis

        import celery_worker
        from app.observability import exporters, process_registry

    logging.getLogger("celery.beat").addFilter(_without_traceback)
    try:
        celery_worker.celery.Beat(quiet=True, loglevel=celery_worker.settings.log_level).run()
    except redis.RedisError as error:
        raise click.ClickException(f"beat ends: Redis does not answer: {error}") from error
    finally:
        with celery_worker.flask_app.app_context():
            process_registry.leave()
        exporters.finish()


def _without_traceback(record: logging.LogRecord) -> bool:
    """Celery logs what `beat` tells in one line below with its whole history."""
    record.exc_info = None
    return True


def _end_with_worker(worker_pid: int, **_: Any) -> None:
    """A pool process whose worker was killed would go on alone, with nobody to take its task's result."""
    from app.cli.supervisor.parent_death import end_with_parent

    end_with_parent(worker_pid)
