"""The container engine of the tests: a running one, or one started for this run."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.containers.tools import NoEngineError, cache, fetch_tools
from tests.support.machine_speed import patience
from tests.support.processes import start, stop, until

START_SECONDS = 30
# No bridge and no firewall rule: containers only reach each other and a published port on loopback.
QUIET_NETWORK = (
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
    "--bridge=none",
)


@dataclass(frozen=True)
class Engine:
    """`environment` holds the variables with which `docker` reaches the engine."""

    environment: dict[str, str]
    has_registry: bool
    tools: Path | None = None

    def docker(self, *arguments: str, seconds: float = 60, check: bool = True, cwd: Path | None = None) -> str:
        """Run `docker …` and return its output. Raises AssertionError with the output if it failed."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=patience(seconds),
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"docker {' '.join(arguments)}:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        )
        return done.stdout.strip()


@contextmanager
def engine() -> Iterator[Engine]:
    """Raises NoEngineError if this machine cannot run one."""
    if _answers():
        yield Engine(dict(os.environ), has_registry=True)
        return
    tools = fetch_tools()
    with tempfile.TemporaryDirectory(prefix="engine-") as scratch, _daemon(tools, Path(scratch)) as environment:
        yield Engine(environment, has_registry=False, tools=tools)


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return _succeeds(["docker", "compose", "ls"], dict(os.environ))


def _succeeds(command: list[str], environment: dict[str, str]) -> bool:
    return not subprocess.run(
        command, env=environment, capture_output=True, timeout=patience(60), check=False
    ).returncode


@contextmanager
def _daemon(tools: Path, scratch: Path) -> Iterator[dict[str, str]]:
    environment = _environment(tools, scratch)
    log = cache() / "dockerd.log"
    command = [str(tools / "usr/sbin/dockerd"), f"--host={environment['DOCKER_HOST']}"]
    command += [f"--data-root={cache() / 'engine'}", f"--exec-root={scratch / 'exec'}", f"--pidfile={scratch / 'pid'}"]
    log.unlink(missing_ok=True)
    command += ["--storage-driver=overlay2", *QUIET_NETWORK]
    libraries = next((tools / "usr/lib").glob("*/libxtables.so.*")).parent
    own = {"LD_LIBRARY_PATH": str(libraries), "XTABLES_LIBDIR": str(libraries / "xtables")}
    process = start(command, log=log, env=environment | own)

    def is_up() -> bool:
        if process.poll() is not None:
            raise NoEngineError(f"dockerd ended:\n{log.read_text(encoding='utf-8')[-3000:]}")
        asked = subprocess.run(
            ["docker", "info"], env=environment, capture_output=True, timeout=patience(20), check=False
        )
        return asked.returncode == 0

    try:
        until(is_up, START_SECONDS, f"dockerd answers; its log is {log}")
        yield environment
    finally:
        _kill_containers(environment)
        stop(process, seconds=60)
        _unmount(scratch)


def _kill_containers(environment: dict[str, str]) -> None:
    """Remove the containers, which would survive the engine."""
    command = "docker ps --quiet | xargs --no-run-if-empty docker kill"
    _succeeds(["sh", "-c", command], environment)


def _unmount(folder: Path) -> None:
    """Unmount what the engine leaves mounted in its folder."""
    for line in reversed(Path("/proc/mounts").read_text(encoding="utf-8").splitlines()):
        target = line.split(" ")[1]
        if target.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", target], capture_output=True, check=False)


def _environment(tools: Path, scratch: Path) -> dict[str, str]:
    plugins = scratch / "client" / "cli-plugins"
    plugins.mkdir(parents=True)
    for plugin in (tools / "usr/libexec/docker/cli-plugins").iterdir():
        (plugins / plugin.name).symlink_to(plugin)
    path = os.pathsep.join([str(tools / "usr/bin"), str(tools / "usr/sbin"), os.environ["PATH"]])
    return {
        **os.environ,
        "PATH": path,
        "DOCKER_HOST": f"unix://{scratch / 'docker.sock'}",
        "DOCKER_CONFIG": str(scratch / "client"),
    }
