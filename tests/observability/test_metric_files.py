"""The number of time series and of metric files stays bounded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from app.observability import metrics
from tests.factories import make_agent, make_protocol, report
from tests.support.api import Api
from tests.support.stack import Stack

COUNT = """
from prometheus_client import Counter, Gauge, Histogram
Counter("t_total", "Things", ["kind"]).labels("a").inc({amount})
Histogram("t_seconds", "Time", buckets=(1, 2)).observe(1.5)
Gauge("t_open", "Open", multiprocess_mode="livesum").set(3)
"""


def process_that_counts(folder: Path, amount: int = 1) -> None:
    """A process that counts and is gone."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", COUNT.format(amount=amount)], env=environment, check=True)


def value(folder: Path, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    metrics.FileCollector(registry, str(folder))
    return registry.get_sample_value(name, labels)


def shown(folder: Path) -> tuple[float | None, ...]:
    bucket = value(folder, "t_seconds_bucket", le="2.0")
    return value(folder, "t_total", kind="a"), bucket, value(folder, "t_seconds_count"), value(folder, "t_open")


def test_dead_processes_leave_one_file_for_each_type_and_no_counter_falls(tmp_path: Path) -> None:
    for number in range(1, 4):
        process_that_counts(tmp_path, 10)
        assert shown(tmp_path) == (10.0 * number, number, number, None)
        assert sorted(file.name for file in tmp_path.glob("*.db")) == ["counter_archive.db", "histogram_archive.db"]
    assert not list(tmp_path.glob("*.taken"))


def test_files_of_living_processes_are_kept(tmp_path: Path) -> None:
    process_that_counts(tmp_path, 5)
    file = next(tmp_path.glob("counter_*.db"))
    mine = file.rename(tmp_path / f"counter_{os.getpid()}.db")

    assert value(tmp_path, "t_total", kind="a") == 5.0
    assert mine.exists()


@pytest.mark.parametrize("added", [True, False], ids=["after", "before"])
def test_a_crash_during_archiving_counts_nothing_twice_and_loses_nothing(
    added: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_that_counts(tmp_path, 1)
    metrics.archive_counters(tmp_path)
    process_that_counts(tmp_path, 2)
    with monkeypatch.context() as crash:

        def die(*_: object) -> None:
            raise OSError("killed")

        if added:
            crash.setattr(Path, "unlink", lambda path, **_: None if path.suffix == ".new" else die())
        else:
            crash.setattr(Path, "replace", die)
        metrics.archive_counters(tmp_path)

    assert value(tmp_path, "t_total", kind="a") == 3.0
    assert not list(tmp_path.glob("*.taken"))


def series(api: Api) -> set[str]:
    lines = api.with_token(None).get("//metrics").body.decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_invented_methods_and_paths_create_no_time_series(stack: Stack) -> None:
    api, protocol_id = stack.api, make_protocol(stack.api)
    agent_id = make_agent(api)

    def everything(number: int) -> None:
        stranger, viewer = api.with_token(None), api.viewer
        for caller in (stranger, viewer):
            caller.call(f"INVENTED{number}", "/protocols")
            caller.call(f"INVENTED{number}", f"/nowhere{number}")
            caller.get(f"//made/up/{number}")
            caller.get(f"/protocols/x{number}/state")
            caller.post(f"/protocols/x{number}/deposits", {"amount": "1"})
        body = report(protocol_id, f"task {number}", status="FAILED", error={"code": f"E{number}", "message": "m"})
        api.agent(agent_id).post(f"/agents/{agent_id}/progress", body)
        api.as_("viewer", jti=f"j{number}", sub=f"s{number}").get("/protocols")
        api.as_(f"role{number}").get("/protocols")

    for number in range(5):
        everything(number)
    before = series(api)
    for number in range(5, 40):
        everything(number)

    new = {each for each in series(api) - before if "celery" not in each and "/metrics" not in each}
    assert len(new) < 35, f"one for each invention: {sorted(new)}"
    assert not [each for each in series(api) if "INVENTED" in each or "nowhere" in each or "made/up" in each]
