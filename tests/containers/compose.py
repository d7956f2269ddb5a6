"""The compose stack under test."""

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.containers.engine import Engine
from tests.support.api import Api, OverHttp
from tests.support.machine_speed import patience
from tests.support.processes import free_port, start, stop, until

ROOT = Path(__file__).parents[2]
PROJECT = "dashboard-test"
UP_SECONDS = 240


@dataclass(frozen=True)
class Change:
    """A container became healthy or ended; `at` is epoch seconds by the engine's clock."""

    container: str
    action: str
    at: float
    exit_code: str | None


class Compose:
    """The unchanged `docker-compose.yml` under a project name and a port of the tests."""

    def __init__(self, engine: Engine) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        open_files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
        settings = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "DASHBOARD_PUBLISH": f"127.0.0.1:{self.port}",
            "DASHBOARD_OPEN_FILES": str(open_files),
        }
        self._engine = Engine(engine.environment | settings, engine.has_registry, engine.tools)
        self._signing_key = ""

    def __call__(self, *arguments: str, seconds: float = 60, check: bool = True) -> str:
        """Run `docker compose …`."""
        return self._engine.docker("compose", *arguments, seconds=seconds, check=check, cwd=ROOT)

    def docker(self, *arguments: str, seconds: float = 60) -> str:
        return self._engine.docker(*arguments, seconds=seconds)

    def run_script(self, *command: str, seconds: float = 240) -> str:
        """Run one of the operator's scripts; returns its warnings."""
        done = subprocess.run(
            command,
            env=self._engine.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=patience(seconds),
            check=False,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stderr[-6000:]

    def up(self, *options: str) -> None:
        """Start the stack and wait until every container is healthy."""
        self("up", "--detach", "--no-build", "--wait", *options, seconds=UP_SECONDS)
        self._signing_key = self.exec("web", "cat", "/run/secrets/app/signing_key")

    def down(self) -> None:
        """Remove everything of the stack; nothing of it is needed, so nothing has to stop gracefully."""
        self("kill", check=False)
        self("down", "--volumes", "--remove-orphans", "--timeout", "0", seconds=120, check=False)

    def exec(self, service: str, *command: str) -> str:
        """Run a command in one of the service's containers; costs a quarter of `docker compose exec`."""
        return self.docker("exec", self.containers(service)[0], *command)

    @property
    def api(self) -> Api:
        """An API through the proxy, over a new connection."""
        return Api(OverHttp(self.url), self._signing_key)

    def token(self, *arguments: str) -> str:
        """The token that `dashboard token` prints in a container."""
        return self.exec("web", "dashboard", "token", *arguments)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's running containers."""
        labels = {"project": PROJECT, "service": service}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return self.docker("ps", "--quiet", "--no-trunc", *filters).split()

    def services(self) -> dict[str, list[str]]:
        """The health of each running container by service."""
        answer: dict[str, list[str]] = {}
        for line in self("ps", "--format", "json").splitlines():
            row = json.loads(line)
            answer.setdefault(row["Service"], []).append(row["Health"])
        return answer

    @contextmanager
    def changes(self) -> Iterator[Callable[[], list[Change]]]:
        """`with stack.changes() as seen:` `seen()` are the changes of all containers' states until then."""
        filters = ("--filter=event=health_status", "--filter=event=die")
        command = ["docker", "events", "--since", f"{time.time():.3f}", "--format", "{{json .}}", *filters]
        with NamedTemporaryFile("r", encoding="utf-8") as log:
            listener = start(command, log=Path(log.name), env=self._engine.environment)
            try:
                yield lambda: list(_changes(Path(log.name)))
            finally:
                stop(listener)

    def kill(self, container: str) -> None:
        """Kill the container's main process from outside, as the kernel does when memory runs out."""
        os.kill(int(self.docker("inspect", "--format", "{{.State.Pid}}", container)), signal.SIGKILL)

    def restarts(self, container: str) -> int:
        return int(self.docker("inspect", "--format", "{{.RestartCount}}", container))

    def logs(self, *services: str) -> str:
        return self("logs", "--no-color", "--tail", "200", *services, check=False)

    def until_it_works(self, container: str, seconds: float) -> None:
        """Run the health check at once instead of at the engine's next interval."""
        test = json.loads(self.docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", container))

        def works() -> bool:
            try:
                self.docker("exec", container, *test[1:])
            except AssertionError:
                return False
            return True

        until(works, seconds, f"{container} works", pause=0.5)


def _changes(log: Path) -> Iterator[Change]:
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            event = json.loads(line)
            actor, action = event["Actor"], event["Action"].rpartition(": ")[2]
            yield Change(actor["ID"], action, event["timeNano"] / 1e9, actor["Attributes"].get("exitCode"))
