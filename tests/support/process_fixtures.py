"""Fixtures of the tests with parallel processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from prometheus_client import REGISTRY

from tests.support.emissions import Emissions, watch_emissions
from tests.support.load import READY
from tests.support.processes import kill_group, start, until
from tests.support.stack import ROOT

Process = subprocess.Popen


class Loads:
    """Parallel processes that run the app's services."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = os.environ | environment | {"PYTHONPATH": str(ROOT)}
        self.started: list[tuple[Process, Path]] = []

    def run(self, *operations: tuple[object, ...]) -> Process:
        """Start `tests.support.load` with a process for each operation; returns the one that ends after the others."""
        log = self.folder / f"load-{len(self.started)}.log"
        text = " -- ".join(" ".join(map(str, each)) for each in operations)
        argv = [sys.executable, "-m", "tests.support.load", *text.split()]
        self.started.append((start(argv, log=log, env=self.environment, cwd=self.folder), log))
        return self.started[-1][0]

    def wait_until_ready(self) -> None:
        until(lambda: all(READY in log.read_text() for _, log in self.started), 60, "all processes are ready")

    def finish(self, *processes: Process, seconds: float = 90) -> None:
        for process in processes or [each for each, _ in self.started]:
            assert process.wait(seconds) == 0, self.log

    @property
    def log(self) -> str:
        return "".join(log.read_text(encoding="utf-8") for _, log in self.started)

    def stop(self) -> None:
        for process, _ in self.started:
            kill_group(process.pid)
            process.wait()


@pytest.fixture
def loads(tmp_path: Path, environment: dict[str, str]) -> Iterator[Loads]:
    made = Loads(tmp_path, environment)
    yield made
    made.stop()


@pytest.fixture
def emissions(redis_url: str) -> Iterator[Emissions]:
    """The events published while the test runs, by Redis's clock."""
    with watch_emissions(redis.Redis.from_url(redis_url, protocol=2, socket_timeout=None)) as found:
        yield found


@pytest.fixture
def sleeping() -> Callable[[float], None]:
    """Let time pass: these tests cannot set Redis's clock."""
    return time.sleep


@pytest.fixture
def counted() -> Callable[..., float]:
    """`counted("name", label="x")`: a metric of this process, summed over all other labels."""

    def value(name: str, **labels: str) -> float:
        samples = [each for metric in REGISTRY.collect() for each in metric.samples if each.name == name]
        return sum(each.value for each in samples if labels.items() <= each.labels.items())

    return value
