"""Both packages pass each case of clients/conformance; the cases are played side by side, because they mostly wait."""

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from clients.conformance import drivers
from clients.conformance.play import Outcome
from clients.conformance.runs import Pool, Run, runs_of

RUNS = [run for make in drivers.OWN.values() for run in runs_of(make())]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[str, "Future[Outcome]"]]:
    """The outcomes, to come, of the cases that this test run has selected."""
    selected = {str(item.callspec.params["run"]) for item in request.session.items if item.fspath == request.fspath}
    with Pool() as pool:
        yield {str(run): pool.submit(run) for run in RUNS if str(run) in selected}


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_package_passes_the_case(run: Run, outcomes: dict[str, "Future[Outcome]"]) -> None:
    assert outcomes[str(run)].result().faults == [], run.case.title
