"""Random steps of the shipped limiter, its moves and scripts differ nowhere from the model, nor from a real server.

The four quarters of a million steps are in files of their own. `make simulate STEPS=10000000` runs more.
"""

import re
from functools import partial
from pathlib import Path

import pytest

from app.realtime import redis_keys
from tests.simulation import million, run
from tests.simulation.fixed_steps import FAILED_ONCE, problem_of_fixed
from tests.simulation.lua_server import LuaServer
from tests.simulation.mirror import run_mirrored
from tests.simulation.rare_steps import RARE
from tests.simulation.steps import steps_of
from tests.support.seeds import SEED

STEPS_IN_LUA51, MIRRORED_STEPS = 3_000, 300


@pytest.mark.parametrize("name", [*FAILED_ONCE, *RARE])
def test_steps_that_failed_once_or_are_rare_agree_with_the_model(name: str) -> None:
    assert problem_of_fixed(name) is None


def test_the_files_of_the_quarters_run_every_part() -> None:
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*_quarter.py")]
    files = sorted(int(number) for text in texts for number in re.findall(r"parts_of_file\((\d)\)", text))
    assert files == list(range(million.PARTS // million.PARTS_OF_A_FILE))


def test_a_simulation_leaves_the_keys_of_all_partitions_to_other_tests() -> None:
    before = redis_keys.all_keys("due")
    assert run.run(f"{SEED}/after", 1)
    assert redis_keys.all_keys("due") == before
    assert len(before) == redis_keys.PARTITIONS


def test_random_steps_agree_with_the_model_in_the_lua_of_redis() -> None:
    run.run(f"{SEED}/lua51", STEPS_IN_LUA51, partial(LuaServer, "lua51"))


def test_a_real_server_answers_random_steps_as_the_simulated_ones_do(valkey, redis_url) -> None:
    seed = f"{SEED}/mirrored"
    run_mirrored(valkey.client, seed, steps_of(seed, MIRRORED_STEPS))
