"""The second quarter of a million random steps differs nowhere from the model; see million.py."""

from tests.simulation import million

pytestmark = million.parts_of_file(1)


def test_random_steps_agree_with_the_model(part: int) -> None:
    million.run_part(part)
