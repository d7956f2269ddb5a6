"""DASHBOARD_HOME: the data that `dashboard up` keeps between runs, readable by its owner alone."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.config import KEY_FILE, REDIS_URL_FILE

DEFAULT_HOME = ".dashboard"


class Home:
    """The folder, with its subfolder `run/` that is emptied at each start and stop."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.run = self.path / "run"
        self.redis_url_file = self.path / REDIS_URL_FILE
        self.log_file = self.path / "logs" / "up.log"

    @classmethod
    def from_environment(cls) -> "Home":
        return cls(Path(os.environ.get("DASHBOARD_HOME", "").strip() or DEFAULT_HOME))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process. Raises click.ClickException when another `up` has locked it."""
        try:
            self.run.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
            with (self.path / "up.lock").open("a+", encoding="utf-8") as lock:
                self._lock(lock.fileno())
                try:
                    self._clear_run()
                    yield
                finally:
                    self._clear_run()
        except OSError as error:
            raise click.ClickException(f"cannot use DASHBOARD_HOME {self.path}: {error.strerror}") from error

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise click.ClickException(
                f"DASHBOARD_HOME {self.path} is in use by another `dashboard up`; stop it or set another folder"
            ) from error

    def _clear_run(self) -> None:
        for entry in self.run.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def ensure_signing_key(self) -> None:
        key_file = self.path / KEY_FILE
        if not key_file.exists():
            write_private(key_file, secrets.token_hex(32) + "\n")

    def metrics_folder(self) -> Path:
        """Create the folder of all processes' counters (prometheus_client's multiprocess mode)."""
        folder = self.run / "metrics"
        folder.mkdir(exist_ok=True)
        return folder

    def remove_live_gauges(self, pid: int) -> None:
        """Remove a dead process's gauges, such as its number of connections."""
        for file in (self.run / "metrics").glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)

    def alive_file(self, name: str) -> Path:
        return self.run / f"{name}.alive"

    def write_pid(self, name: str, pid: int) -> None:
        write_private(self._pid_file(name), f"{pid}\n")

    def remove_pid(self, name: str) -> None:
        self._pid_file(name).unlink(missing_ok=True)

    def _pid_file(self, name: str) -> Path:
        return self.run / f"{name}.pid"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read. Readers see the old text or the new text, never half of it."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
