"""A running system: `dashboard up --no-demo` in its own folder and on its own port."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import redis

from app.realtime.redis_keys import TICK_KEY
from tests.support.api import Api, OverHttp
from tests.support.emissions import Emissions, watch_emissions
from tests.support.js_client import JsClient, JsSocket
from tests.support.processes import free_port, is_alive, is_open, kill_group, start, stop, until

START_SECONDS = 120
ROOT = Path(__file__).resolve().parents[2]
SHADOW = ROOT / "tests" / "support" / "shadow"
COMMAND = [sys.executable, "-m", "app.cli"]
NOT_INHERITED = re.compile(r"(DASHBOARD_|PAYOUT_|DATABASE_URL|REDIS_URL|ROOMS_REDIS_URL|PROMETHEUS_)")


class Stack:
    """Started by `with`. `webs` is the number of web processes; `home` is DASHBOARD_HOME, by default in `folder`;

    `overrides` are environment variables.
    """

    def __init__(self, folder: Path, *, webs: int = 1, home: Path | None = None, **overrides: str) -> None:
        self.folder = folder
        self.home = home or folder / "home"
        self.log_path = folder / "stack.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.signing_key = secrets.token_hex(32)
        self._webs = webs
        inherited = {name: value for name, value in os.environ.items() if not NOT_INHERITED.match(name)}
        own = {"DASHBOARD_HOME": str(self.home), "DASHBOARD_SIGNING_KEY": self.signing_key, "PYTHONPATH": str(SHADOW)}
        self.environment = inherited | own | overrides
        self.process: subprocess.Popen[bytes] | None = None
        self._extra: list[subprocess.Popen[bytes]] = []

    def start(self) -> "Stack":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = self._run("up", "--no-demo", "--port", str(self.port), "--web", str(self._webs))
        self.wait_for_log(rf"ready: {re.escape(self.url)}", START_SECONDS)
        return self

    def _run(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return start([*COMMAND, *arguments], log=self.log_path, env=self.environment, cwd=self.folder)

    def run_part(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start another part, such as `run_part("beat")`; it stops with the stack."""
        self._extra.append(self._run(*arguments))
        return self._extra[-1]

    def run_load(self, *arguments: object) -> "subprocess.Popen[bytes]":
        """Start `tests.support.load`; its log and metrics are added to those of the system."""
        argv = [sys.executable, "-m", "tests.support.load", *(str(each) for each in arguments)]
        more = {"PROMETHEUS_MULTIPROC_DIR": str(self.home / "run" / "metrics"), "PYTHONPATH": str(ROOT)}
        self._extra.append(start(argv, log=self.log_path, env=self.environment | more, cwd=self.folder))
        return self._extra[-1]

    def stop(self) -> None:
        for process in [*self._extra, self.process]:
            if process is not None:
                process.send_signal(signal.SIGCONT)
                stop(process, seconds=20)
                kill_group(process.pid)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the system while the `with` block runs, then start it again with a new log; the old one is kept."""
        self.stop()
        yield
        # So that the old `ready` line is not mistaken for that of this start.
        self.log_path.rename(self.log_path.with_suffix(f".{time.time_ns()}.log"))
        self.start()

    def pid(self, part: str) -> int:
        """The pid of the running part `redis`, `web-1`, `worker`, `beat`…"""
        file = self.home / "run" / f"{part}.pid"

        def running_pid() -> int | None:
            pid = int(file.read_text(encoding="utf-8"))
            return pid if is_alive(pid) else None

        return int(until(running_pid, 20, f"{part} runs"))

    def signal(self, part: str, number: int) -> int:
        """Send a signal to a part; returns its pid."""
        pid = self.pid(part)
        os.kill(pid, number)
        return pid

    def kill(self, part: str) -> None:
        """Kill a part and wait until it has ended; `dashboard up` restarts it."""
        pid = self.signal(part, signal.SIGKILL)
        until(lambda: not is_alive(pid), 5, f"{part} has ended")

    def freeze(self, part: str) -> None:
        self.signal(part, signal.SIGSTOP)

    def thaw(self, part: str) -> None:
        self.signal(part, signal.SIGCONT)

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def log_lines(self, *words: str) -> list[str]:
        """The log lines that contain all the words."""
        return [line for line in self.log.splitlines() if all(word in line for word in words)]

    def wait_for_log(self, pattern: str, seconds: float = 10) -> str:
        """The first log line that matches. Fails early if the system has ended."""

        def line() -> str | None:
            found = re.search(f".*{pattern}.*", self.log)
            if found is None and self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"`dashboard up` ended with {self.process.returncode}:\n{self.log[-5000:]}")
            return found and found.group()

        return until(line, seconds, f"{pattern!r} in {self.log_path}")

    def wait_until_whole(self, seconds: float = 40) -> None:
        """Wait until the system ticks and serves again after a test that killed or froze a part."""
        asked = time.time()
        until(lambda: self._last_tick() > asked, seconds, "beat and worker tick")
        until(lambda: self.api.with_token(None).get("//readyz").status == 200, seconds, "web serves")

    def _last_tick(self) -> float:
        try:
            with self.redis() as client:
                return float(client.get(TICK_KEY) or 0)
        except redis.RedisError:
            return 0.0

    def wait_until_open(self, seconds: float = 15) -> None:
        until(lambda: is_open(self.port), seconds, f"{self.url} accepts connections")

    @property
    def api(self) -> Api:
        """An API over a new connection; each thread needs its own."""
        return Api(OverHttp(self.url), self.signing_key)

    @property
    def redis_url(self) -> str:
        given = self.environment.get("REDIS_URL")
        return given or (self.home / "run" / "redis.url").read_text(encoding="utf-8").strip()

    def redis(self) -> "redis.Redis[bytes]":
        return redis.Redis.from_url(self.redis_url, protocol=2)

    def emissions(self) -> AbstractContextManager[Emissions]:
        """`with stack.emissions() as emissions:` records published events by Redis's clock."""
        return watch_emissions(redis.Redis.from_url(self.redis_url, protocol=2, socket_timeout=None))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        text = self.api.with_token(None).get("//metrics").body.decode()
        total = 0.0
        for line in text.splitlines():
            sample, _, value = line.rpartition(" ")
            fits = all(f'{key}="{value}"' in sample for key, value in labels.items())
            if re.match(rf"{name}(\{{|$)", sample) and fits:
                total += float(value)
        return total

    def watch(self, js: JsClient, protocol_id: str, role: str = "viewer", **options: Any) -> JsSocket:
        """A connected client in the protocol's room."""
        auth = {"token": self.api.token(role, protocols=[protocol_id]), "protocolId": protocol_id}
        return js.connect(self.url, auth, **options)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()


class WebProcess(Stack):
    """Only `dashboard web`; its start costs a fifth of a whole system's.

    `overrides` name its migrated database and its Redis.
    """

    def start(self) -> "WebProcess":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = self._run("web", "--port", str(self.port))
        until(lambda: is_open(self.port) or self.process.poll() is not None, START_SECONDS, "web listens")
        assert self.process.poll() is None, self.log[-5000:]
        return self

    def pid(self, part: str) -> int:
        assert part == "web-1"
        return self.process.pid


StackMaker = Callable[..., Stack]
