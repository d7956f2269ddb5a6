"""Every task has one name, one queue and a place where it is registered."""

import json
import os
import re
import subprocess
import sys

import pytest

from app.core import queues
from tasks import SCHEDULE
from tests.support.project_files import ROOT, project_files

pytestmark = pytest.mark.database("sqlite")

SHOW = (
    "import json, celery_worker as w; w.celery.loader.import_default_modules(); print(json.dumps(list(w.celery.tasks)))"
)


@pytest.fixture
def registered(environment: dict[str, str]) -> set[str]:
    """The names that a worker knows, in a process of its own: registering is for good."""
    more = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=os.environ | environment | more, capture_output=True, text=True, check=True
    )
    return {name for name in json.loads(done.stdout.splitlines()[-1]) if not name.startswith("celery.")}


def test_declared_and_registered_task_names_are_the_same(registered: set[str]) -> None:
    assert registered == set(queues.TASK_QUEUES)


def test_every_task_name_has_a_queue_that_workers_serve() -> None:
    names = {value for name, value in vars(queues).items() if name.endswith("_TASK")}
    assert names == set(queues.TASK_QUEUES)
    assert set(queues.TASK_QUEUES.values()) <= set(queues.ALL_QUEUES)


def test_beat_schedules_known_tasks_without_wall_clock_expiry() -> None:
    for entry in SCHEDULE.values():
        assert entry["task"] in queues.TASK_QUEUES
        assert "options" not in entry


def test_no_task_is_sent_with_a_time_by_the_senders_clock() -> None:
    """An ETA, a countdown and an expiry are judged by the worker's clock."""
    sources = [*project_files(ROOT / "app", "*.py"), *project_files(ROOT / "tasks", "*.py")]
    found = [path for path in sources if re.search(r"\b(countdown|eta|expires)=", path.read_text(encoding="utf-8"))]
    assert found == []
