"""`dashboard up`: runs the whole system on this machine."""

import fcntl
import os
import secrets
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from app.cli import host_option, port_option
from app.cli.supervisor import embedded_redis
from app.cli.supervisor.console import Console
from app.cli.supervisor.parent_death import adopt_orphans
from app.cli.supervisor.process import DASHBOARD, PYTHON, ForkServer, ManagedProcess, can_fork
from app.cli.supervisor.readiness import Readiness
from app.cli.supervisor.supervisor import MAX_START_SECONDS, POLL_SECONDS, Supervisor, write_file
from app.config import KEY_FILE, load_config
from app.core.queues import MAINTENANCE_QUEUE, PAYMENTS_QUEUE, REALTIME_QUEUE, WEBHOOKS_QUEUE
from app.observability.probe import SILENT_SECONDS

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not chosen
# Receivers on this machine, of whoever tries webhooks out.
LOCAL_WEBHOOKS = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128", "WEBHOOK_ALLOW_HTTP": "1"}
WATCH_SECONDS = 0.2  # between two looks at a running system: shorter pauses cost an idle machine a half percent


@click.command()
@host_option
@port_option
@click.option("--demo/--no-demo", default=False, help="show a demo protocol with simulated agents")
@click.option("--web", "web_count", default=1, type=click.IntRange(1, 64), help="number of web processes")
@click.option(
    "--reset-redis", is_flag=True, help="move the embedded Redis's data to a backup and start with an empty one"
)
@click.option("--verbose", is_flag=True, help="show all log lines on a terminal, not only warnings")
def up(host: str, port: int, *, demo: bool, web_count: int, reset_redis: bool, verbose: bool) -> None:
    """Start everything: Redis, database, web, workers, beat."""
    folder = Path(os.environ.get("DASHBOARD_HOME", "").strip() or ".dashboard").resolve()
    os.umask(0o077)  # inherited by all processes: data and locks are the owner's alone, wherever they are
    with _locked(folder):
        port = _check_port(host, port)
        if reset_redis:
            if _is_set("REDIS_URL"):
                raise click.ClickException("--reset-redis is for the embedded Redis: REDIS_URL names another one")
            backup = embedded_redis.set_aside(folder)
            message = f"Redis starts empty; its old data is in {backup}" if backup else "Redis has no data yet"
            click.echo(message, err=True)
        console = Console(log=folder / "logs" / "up.log" if os.isatty(1) and not verbose else None)
        try:
            _run(folder, console, host, port, demo=demo, web_count=web_count)
        finally:
            console.close()


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Lock the folder, with an empty `run/`. Raises click.ClickException, also when another `up` has locked it."""
    run = home / "run"
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        with (home / "up.lock").open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise click.ClickException(
                    f"DASHBOARD_HOME {home} is in use by another `dashboard up`; stop it or set another folder"
                ) from error
            try:
                shutil.rmtree(run, ignore_errors=True)
                run.mkdir(exist_ok=True, mode=0o700)
                yield
            finally:
                shutil.rmtree(run, ignore_errors=True)
    except OSError as error:
        raise click.ClickException(f"cannot use DASHBOARD_HOME {home}: {error.strerror}") from error


def _check_port(host: str, port: int) -> int:
    """Bind without SO_REUSEPORT, which would share the port with other programs. Raises click.ClickException."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def _run(folder: Path, console: Console, host: str, port: int, *, demo: bool, web_count: int) -> None:
    redis = [] if _is_set("REDIS_URL") else [embedded_redis.prepare(folder)]
    key_file, metrics = folder / KEY_FILE, folder / "run" / "metrics"
    if not _is_set("DASHBOARD_SIGNING_KEY") and not _is_set("DASHBOARD_JWKS_URL") and not key_file.exists():
        write_file(key_file, secrets.token_hex(32) + "\n")
    metrics.mkdir(exist_ok=True)
    own = {"DASHBOARD_HOME": str(folder), "PYTHONUNBUFFERED": "1", "DASHBOARD_UNDER_UP": "1"}
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(metrics), **LOCAL_WEBHOOKS, **os.environ, **own}
    payout_port = _add_demo_payouts(environment) if demo and not _is_set("PAYOUT_URL") else 0
    settings = load_config(environment)
    web_grace = min(settings.shutdown_grace, 3.0)  # so that all phases of a stop together take less than ten seconds
    environment["DASHBOARD_SHUTDOWN_GRACE"] = str(web_grace)
    if demo:
        if settings.jwks_url:
            raise click.ClickException("--demo signs tokens itself: it cannot run with DASHBOARD_JWKS_URL")
        environment["DASHBOARD_DEMO"] = "1"  # the page may sign its visitors in
    if can_fork():
        adopt_orphans()
    supervisor = Supervisor(folder, console, environment)
    local_url = _url(ANY_ADDRESS.get(host, host), port)
    readiness = Readiness(supervisor, settings, local_url)
    try:
        _start(supervisor, readiness, redis, _processes(host, port, web_count, web_grace))
        if not supervisor.stop_requested.is_set():
            if console.log:
                console.print_line("", f"all log lines: {console.log} (`--verbose` shows them here)")
            console.print_line("", f"ready: {_url(host, port)}")
            if demo:
                options = ("--demo", "--protocol", "demo", "--url", local_url, "--payout-port", str(payout_port))
                supervisor.add(ManagedProcess("demo", (*DASHBOARD, "simulate", *options), stop_seconds=3.0))
        while not supervisor.stop_requested.wait(WATCH_SECONDS):
            supervisor.poll()
            supervisor.reap_orphans()
    finally:
        supervisor.stop()
        _empty_write_ahead_log(folder / "dashboard.db", supervisor)


def _empty_write_ahead_log(database: Path, supervisor: Supervisor) -> None:
    """Processes that were killed leave the newest changes in `dashboard.db-wal`, which a copy of the file lacks."""
    if not database.with_name(f"{database.name}-wal").exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=0.5)) as connection:
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                supervisor.log("WARNING", f"{database.name}-wal is in use and keeps the newest changes")
    except sqlite3.Error as error:
        supervisor.log("WARNING", f"{database.name}-wal keeps the newest changes: {error}")


def _add_demo_payouts(environment: dict[str, str]) -> int:
    """Let payments go to a payout service of the process `demo`, which refuses some; return its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    environment |= {"PAYOUT_URL": f"http://127.0.0.1:{port}/", "PAYOUT_SECRET": secrets.token_hex(32)}
    return port


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip() or os.environ.get(f"{name}_FILE"))


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _processes(host: str, port: int, web_count: int, web_grace: float) -> list[ManagedProcess]:
    """Web, beat and workers. Payments and webhooks have workers of their own: a service that hangs delays no drains."""
    reuse_port = ["--reuse-port"] if web_count > 1 else []
    web = (*DASHBOARD, "web", "--host", host, "--port", str(port), *reuse_port)
    watched: dict[str, Any] = {"touches_alive_file": True, "max_silent_seconds": SILENT_SECONDS}
    webs = [
        ManagedProcess(f"web-{number}", web, stop_seconds=web_grace + 0.5, **watched)
        for number in range(1, web_count + 1)
    ]
    worker = ("worker", "--queues", f"{REALTIME_QUEUE},{MAINTENANCE_QUEUE}", "--concurrency", "2")
    payments = ("worker", "--queues", PAYMENTS_QUEUE, "--concurrency", "4", "--name", "payments")
    webhooks = ("worker", "--queues", WEBHOOKS_QUEUE, "--concurrency", "2", "--name", "webhooks")
    commands = {"beat": ("beat",), "worker": worker, "worker-payments": payments, "worker-webhooks": webhooks}
    # Celery's warm shutdown of an idle prefork pool takes two to three seconds.
    return webs + [
        ManagedProcess(name, (*DASHBOARD, *command), stop_phase=1, stop_seconds=3.4, needs_redis=True, **watched)
        for name, command in commands.items()
    ]


def _add_fork_server(kind: str, processes: list[ManagedProcess]) -> ForkServer | None:
    """Let a fork server run the processes' commands, where the system can."""
    if not can_fork():
        return None
    commands = sorted({" ".join(process.command[len(DASHBOARD) :]) for process in processes})
    command = (*PYTHON, "app.cli.supervisor.fork_server", kind, *commands)
    server = ForkServer(f"fork-server-{kind}", command, stop_phase=2, touches_alive_file=True)
    for process in processes:
        process.fork_server = server
    return server


def _start(
    supervisor: Supervisor, readiness: Readiness, redis: list[ManagedProcess], others: list[ManagedProcess]
) -> None:
    """Start everything in order, and wait until it is ready or a stop is requested. Raises click.ClickException."""
    migration = ManagedProcess("migrate", (*DASHBOARD, "migrate"))
    webs = [process for process in others if process.name.startswith("web-")]
    background = [migration, *(process for process in others if process not in webs)]
    servers = [_add_fork_server("background", background), _add_fork_server("web", webs)]
    supervisor.add(*redis, *(server for server in servers if server))
    threading.Thread(target=readiness.watch, daemon=True).start()
    # The embedded Redis may have much data to load; one that others run answers by now, or will not for long.
    supervisor.wait_until_ready(readiness.find_redis_problem, MAX_START_SECONDS if redis else 30.0)
    supervisor.wait_until_ready(lambda: supervisor.find_loading(migration), MAX_START_SECONDS)
    if supervisor.stop_requested.is_set():
        return
    supervisor.launch(migration)
    while (code := migration.wait(POLL_SECONDS)) is None:
        if supervisor.stop_requested.is_set():
            migration.kill()
    if code and not supervisor.stop_requested.is_set():
        raise click.ClickException("the database cannot be brought to the newest schema: see `migrate` above")
    supervisor.add(*others)
    supervisor.wait_until_ready(readiness.find_problem, MAX_START_SECONDS)
