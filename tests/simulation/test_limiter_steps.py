"""A million random steps of the shipped limiter, its moves and scripts differ nowhere from the model.

Each step is checked (model.py, invariants.py). `make simulate STEPS=10000000` runs more.
"""

from functools import partial

import pytest

from tests.simulation import run
from tests.simulation.lua_server import LuaServer
from tests.simulation.mirror import run_mirrored
from tests.simulation.steps import steps_of
from tests.support.seeds import SEED

STEPS, PARTS = 1_000_000, 8
STEPS_IN_LUA51, MIRRORED_STEPS = 3_000, 300


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_random_steps_agree_with_the_model(part) -> None:
    assert run.run(f"{SEED}/{part}", STEPS // PARTS) >= STEPS // PARTS


def test_random_steps_agree_with_the_model_in_the_lua_of_redis() -> None:
    run.run(f"{SEED}/lua51", STEPS_IN_LUA51, partial(LuaServer, "lua51"))


def test_a_real_server_answers_random_steps_as_the_simulated_ones_do(valkey, redis_url) -> None:
    seed = f"{SEED}/mirrored"
    run_mirrored(valkey.client, seed, steps_of(seed, MIRRORED_STEPS))
