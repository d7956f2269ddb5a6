"""The million random steps of a test run, in eight parts; a file of tests runs two, so that workers share the files.

They are the same in each run, so that only a change of the code can fail; `make simulate` takes others each time.
"""

import pytest

from tests.simulation import run

STEPS, PARTS = 1_000_000, 8
PARTS_OF_A_FILE = 2

TIMEOUT_SECONDS = 900  # a part takes half a minute alone, and runs beside other busy workers


def parts_of_file(number: int) -> list[pytest.MarkDecorator]:
    """The marks of a test that runs one `part` of the file with this number."""
    first = number * PARTS_OF_A_FILE
    parts = pytest.mark.parametrize("part", range(first, first + PARTS_OF_A_FILE))
    return [pytest.mark.slow, pytest.mark.timeout(TIMEOUT_SECONDS), parts]


def run_part(part: int) -> None:
    wanted = STEPS // PARTS
    assert run.run(f"million/{part}", wanted) >= wanted
