"""`dashboard up`: runs the whole system on this machine."""

import os
import socket

import click

from app.cli.supervisor import embedded_redis, process_specs
from app.cli.supervisor.console import Console, LogFile
from app.cli.supervisor.home import Home
from app.cli.supervisor.process_specs import ProcessSpec
from app.cli.supervisor.readiness import Readiness
from app.cli.supervisor.supervisor import POLL_SECONDS, Supervisor
from app.config import load_config

MAX_START_SECONDS = 120.0
MAX_REDIS_SECONDS = 30.0  # of a Redis that others run: it answers by now, or will not for long
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not chosen


@click.command()
@click.option("--host", default="127.0.0.1", help="address to listen on")
@click.option(
    "--port",
    default=5000,
    envvar="PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    help="port to listen on; 0 takes a free one",
)
@click.option("--demo/--no-demo", default=False, help="show a demo protocol with simulated agents")
@click.option("--web", "web_count", default=1, type=click.IntRange(1, 64), help="number of web processes")
@click.option(
    "--reset-redis", is_flag=True, help="move the embedded Redis's data to a backup and start with an empty one"
)
@click.option("--verbose", is_flag=True, help="show all log lines on a terminal, not only warnings")
def up(host: str, port: int, *, demo: bool, web_count: int, reset_redis: bool, verbose: bool) -> None:
    """Start everything: Redis, database, web, workers, beat."""
    home = Home.from_environment()
    os.umask(0o077)  # inherited by all processes: data and locks are the owner's alone, wherever they are
    with home.locked():
        port = _check_port(host, port)
        if reset_redis:
            _reset_redis(home)
        console = Console(log=LogFile(home.log_file) if os.isatty(1) and not verbose else None)
        try:
            _run(home, console, host, port, demo=demo, web_count=web_count)
        finally:
            console.close()


def _check_port(host: str, port: int) -> int:
    """Bind without SO_REUSEPORT, which would share the port with other programs. Raises click.ClickException."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def _reset_redis(home: Home) -> None:
    if _is_set("REDIS_URL"):
        raise click.ClickException("--reset-redis is for the embedded Redis: REDIS_URL names another one")
    backup = embedded_redis.set_aside(home)
    click.echo(f"Redis starts empty; its old data is in {backup}" if backup else "Redis has no data yet", err=True)


def _run(home: Home, console: Console, host: str, port: int, *, demo: bool, web_count: int) -> None:
    redis = _prepare_home(home)
    environment = _environment(home)
    settings = load_config(environment)
    if demo:
        if not settings.signing_key:
            raise click.ClickException("--demo signs tokens itself: it cannot run with DASHBOARD_JWKS_URL")
        environment["DASHBOARD_DEMO"] = "1"  # the page may sign its visitors in
    supervisor = Supervisor(home, console, environment)
    local_url = _url(ANY_ADDRESS.get(host, host), port)
    readiness = Readiness(supervisor, settings.redis_url, local_url)
    webs = process_specs.web_specs(host, port, web_count, settings.shutdown_grace)
    try:
        _start(supervisor, readiness, redis, [*webs, *process_specs.celery_specs()])
        if not supervisor.stop_requested.is_set():
            if console.log:
                console.print_plain(f"all log lines: {console.log.path} (`--verbose` shows them here)")
            console.print_plain(f"ready: {_url(host, port)}")
            supervisor.add([process_specs.demo_spec(local_url)] if demo else [])
        readiness.watch()
        while not supervisor.stop_requested.wait(POLL_SECONDS):
            supervisor.poll()
            readiness.restart_without_ticks()
    finally:
        supervisor.stop()


def _start(supervisor: Supervisor, readiness: Readiness, redis: list[ProcessSpec], others: list[ProcessSpec]) -> None:
    """Start everything in order, and wait until it is ready or a stop is requested. Raises click.ClickException."""
    supervisor.add(redis)
    migration = supervisor.start_once(process_specs.migrate_spec())
    # The embedded Redis may have much data to load first.
    max_seconds = MAX_START_SECONDS if redis else MAX_REDIS_SECONDS
    supervisor.wait_until(readiness.redis_answers, lambda: readiness.problem, max_seconds)
    if supervisor.wait_for_exit(migration) and not supervisor.stop_requested.is_set():
        raise click.ClickException("the database cannot be brought to the newest schema: see `migrate` above")
    supervisor.add(others)
    supervisor.wait_until(readiness.all_ready, lambda: readiness.problem, MAX_START_SECONDS)


def _prepare_home(home: Home) -> list[ProcessSpec]:
    """Create a signing key and prepare the embedded Redis, where the configuration names none."""
    if not _is_set("DASHBOARD_SIGNING_KEY") and not _is_set("DASHBOARD_JWKS_URL"):
        home.ensure_signing_key()
    return [] if _is_set("REDIS_URL") else [embedded_redis.prepare(home)]


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip() or os.environ.get(f"{name}_FILE"))


def _environment(home: Home) -> dict[str, str]:
    environment = {**os.environ, "DASHBOARD_HOME": str(home.path), "PYTHONUNBUFFERED": "1", "DASHBOARD_UNDER_UP": "1"}
    environment.setdefault("PROMETHEUS_MULTIPROC_DIR", str(home.metrics_folder()))
    return environment


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
