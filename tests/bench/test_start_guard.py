"""What a start and an idle system cost stays in proportion to the imports, and to a few ticks a second."""

import re
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from bench import start
from tests.support import databases
from tests.support.processes import free_port

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
MAX_RUN_TIME_MB = 125
SETTLE_SECONDS, IDLE_SECONDS = 2, 4
MAX_SWITCHES = 25  # of an idle web process's threads, a second


def switches_of(pid):
    """How often its threads have gone to sleep."""
    statuses = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", each, re.MULTILINE).group(1)) for each in statuses)


@pytest.fixture(scope="module")
def figures(tmp_path_factory, sqlite_template):
    """The CPU time until a system is ready, of two imports of the application, and its web's switches a second."""
    home = tmp_path_factory.mktemp("home")
    databases.copy_sqlite(sqlite_template, home)  # so that no migration is counted
    imports = start.import_alone([start.WEB, start.BACKGROUND])
    with start.running([sys.executable, "-m", "app.cli", "up", "--port", str(free_port())], home):
        pids = start.processes_of(home)
        ready = sum(map(start.cpu_of, pids)) / 1e9
        web = next(pid for pid, name in pids.items() if name == "web-1")
        time.sleep(SETTLE_SECONDS)
        switches, began = switches_of(web), time.monotonic()
        time.sleep(IDLE_SECONDS)
        return ready, imports, (switches_of(web) - switches) / (time.monotonic() - began)


def test_a_system_is_ready_for_less_than_twice_two_imports(figures):
    """Its processes are forked from two that have imported the application: 1.1 to 1.2."""
    ready, imports, _ = figures
    assert ready < 2 * imports


def test_an_idle_web_process_seldom_wakes(figures):
    assert figures[2] < MAX_SWITCHES


def test_the_packages_of_a_start_stay_small():
    """Their own files, without what Python compiles of them."""
    names = re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements-run.lock").read_text(), re.MULTILINE)
    size = sum(size_of(name) for name in names)
    assert 20e6 < size < MAX_RUN_TIME_MB * 1e6


def size_of(name):
    try:
        files = distribution(name).files or ()
    except PackageNotFoundError:  # of another Python
        return 0
    found = [Path(str(each.locate())) for each in files if each.suffix != ".pyc"]
    return sum(each.stat().st_size for each in found if each.is_file())
