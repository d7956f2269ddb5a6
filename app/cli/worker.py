"""`dashboard worker` and `dashboard beat`: the Celery processes."""

import os
import warnings
from typing import Any

import click

from app.queues import ALL_QUEUES

BEAT_POLL_SECONDS = 1


@click.command()
@click.option("--queues", default=",".join(ALL_QUEUES), help="queues to serve, comma-separated")
@click.option("--concurrency", default=2, type=click.IntRange(min=1), help="tasks at a time")
@click.option("--name", default="worker", help="the part's name in Celery's own messages")
def worker(queues: str, concurrency: int, name: str) -> None:
    """Run background tasks: realtime turns, payments, maintenance."""
    unknown = sorted(set(queues.split(",")) - set(ALL_QUEUES))
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(ALL_QUEUES)}", param_hint="--queues")
    from celery import signals
    from celery.utils.nodenames import default_nodename

    import celery_worker

    warnings.filterwarnings("ignore", message="(?s).*superuser privileges")  # a container's root is no superuser
    signals.worker_ready.connect(_tell_ready)
    signals.worker_process_init.connect(_end_with_worker)
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
    import celery_worker

    celery_worker.celery.Beat(quiet=True, loglevel=celery_worker.settings.log_level).run()


def _tell_ready(**_: Any) -> None:
    from app.cli.ready import tell_ready

    tell_ready()


def _end_with_worker(**_: Any) -> None:
    """A pool process whose worker was killed would go on alone, with nobody to take its task's result."""
    from app.cli.leash import end_with_parent

    end_with_parent(os.getppid())
