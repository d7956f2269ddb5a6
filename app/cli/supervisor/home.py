"""DASHBOARD_HOME: what `dashboard up` keeps between runs, readable by its owner alone."""

import contextlib
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
    """The folder and its `run/` part, which is made anew at each start."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.run = self.path / "run"
        self.redis_url_file = self.path / REDIS_URL_FILE

    @classmethod
    def from_environment(cls) -> "Home":
        return cls(Path(os.environ.get("DASHBOARD_HOME", "").strip() or DEFAULT_HOME))

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the folder for this process. Raises click.ClickException when another `up` holds it."""
        try:
            self.run.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
            lock = (self.path / "up.lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"cannot use DASHBOARD_HOME {self.path}: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise click.ClickException(
                    f"DASHBOARD_HOME {self.path} is in use by another `dashboard up`; stop it or set another folder"
                ) from error
            try:
                self._clear_run()
                yield
            except OSError as error:
                raise click.ClickException(f"cannot use DASHBOARD_HOME {self.path}: {error.strerror}") from error
            finally:
                self._clear_run()

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
        """Where the processes' counters meet (prometheus_client's multiprocess mode)."""
        folder = self.run / "metrics"
        folder.mkdir(exist_ok=True)
        return folder

    def forget_gauges(self, pid: int) -> None:
        """What a dead process had open is open no more."""
        for file in (self.run / "metrics").glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)

    def note_pid(self, part: str, pid: int) -> None:
        write_private(self._pid_file(part), f"{pid}\n")

    def alive_file(self, part: str) -> Path:
        """The file that the part touches while it works."""
        return self.run / f"{part}.alive"

    @property
    def log_file(self) -> Path:
        return self.path / "logs" / "up.log"

    def forget_pid(self, part: str) -> None:
        self._pid_file(part).unlink(missing_ok=True)

    def _pid_file(self, part: str) -> Path:
        return self.run / f"{part}.pid"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; readers see the old text or the new, never half."""
    draft = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
