"""`dashboard up`: everything on this machine, in one command."""

import os
import socket

import click

from app.cli.supervisor import embedded_redis, parts
from app.cli.supervisor.child import Child
from app.cli.supervisor.console import Console, LogFile
from app.cli.supervisor.home import Home
from app.cli.supervisor.readiness import Readiness
from app.cli.supervisor.supervisor import POLL_SECONDS, Supervisor

START_SECONDS = 120.0
REDIS_SECONDS = 30.0
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
@click.option("--reset-redis", is_flag=True, help="set the embedded Redis's data aside and start with an empty one")
@click.option("--verbose", is_flag=True, help="show all log lines on a terminal, not warnings alone")
def up(host: str, port: int, *, demo: bool, web_count: int, reset_redis: bool, verbose: bool) -> None:
    """Start everything: Redis, database, web, workers, beat."""
    home = Home.from_environment()
    os.umask(0o077)  # of all parts too: data and locks are the owner's alone, wherever they lie
    with home.taken():
        port = _check_port(host, port)
        if reset_redis:
            _reset_redis(home)
        log = LogFile(home.log_file) if os.isatty(1) and not verbose else None
        console = Console(log=log)
        try:
            _run(home, console, host, port, demo=demo, web_count=web_count)
        finally:
            console.close()


def _reset_redis(home: Home) -> None:
    if _is_set("REDIS_URL"):
        raise click.ClickException("--reset-redis is for the embedded Redis: REDIS_URL names another one")
    backup = embedded_redis.set_aside(home)
    click.echo(f"Redis starts empty; its old data is in {backup}" if backup else "Redis has no data yet", err=True)


def _check_port(host: str, port: int) -> int:
    """Bind without SO_REUSEPORT, which would share the port with a stranger. Raises click.ClickException."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def _run(home: Home, console: Console, host: str, port: int, *, demo: bool, web_count: int) -> None:
    redis = _embedded_parts(home)
    environment = _environment(home)
    from app.config import load_config

    settings = load_config(environment)
    if demo and not settings.signing_key:
        raise click.ClickException("--demo signs tokens itself: it cannot run with DASHBOARD_JWKS_URL")
    if demo:
        environment["DASHBOARD_DEMO"] = "1"  # the page may sign its visitors in
    supervisor = Supervisor(home, console, environment)
    webs = parts.web_parts(host, port, web_count, settings.shutdown_grace)
    others = [parts.beat_part(), *parts.worker_parts()]
    order = [["demo", *(web.name for web in webs)], ["beat", "worker", "worker-payments"], ["redis"]]
    shown, asked = _url(host, port), _url(ANY_ADDRESS.get(host, host), port)
    try:
        supervisor.add(redis)
        migration = supervisor.begin(parts.migrate_part())
        readiness = Readiness(supervisor, settings.redis_url, asked)
        # Our own may have much to read first; one that is somebody else's runs already, or will not for long.
        supervisor.wait_until(readiness.redis_answers, readiness.missing, START_SECONDS if redis else REDIS_SECONDS)
        _finish_migration(supervisor, migration)
        supervisor.add([*webs, *others])
        supervisor.wait_until(readiness.all_answer, readiness.missing, START_SECONDS)
        if not supervisor.stop_asked.is_set():
            if console.log_path:
                console.plain(f"all log lines: {console.log_path} (`--verbose` shows them here)")
            console.plain(f"ready: {shown}")
            supervisor.add([parts.demo_part(asked)] if demo else [])
        readiness.watch()
        while not supervisor.stop_asked.wait(POLL_SECONDS):
            supervisor.tend()
            readiness.restart_what_is_stuck()
    finally:
        supervisor.stop(order)


def _embedded_parts(home: Home) -> list[parts.Part]:
    """Make what the configuration does not bring along: a signing key, a Redis."""
    if not _is_set("DASHBOARD_SIGNING_KEY") and not _is_set("DASHBOARD_JWKS_URL"):
        home.ensure_signing_key()
    return [] if _is_set("REDIS_URL") else [embedded_redis.prepare(home)]


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip() or os.environ.get(f"{name}_FILE"))


def _environment(home: Home) -> dict[str, str]:
    environment = {**os.environ, "DASHBOARD_HOME": str(home.path), "PYTHONUNBUFFERED": "1", "DASHBOARD_UNDER_UP": "1"}
    environment.setdefault("PROMETHEUS_MULTIPROC_DIR", str(home.metrics_folder()))
    return environment


def _finish_migration(supervisor: Supervisor, migration: Child) -> None:
    code = supervisor.finish(migration)
    if code and not supervisor.stop_asked.is_set():
        raise click.ClickException("the database cannot be brought to the newest schema: see `migrate` above")


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
