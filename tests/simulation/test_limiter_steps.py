"""Random steps of the shipped limiter, its moves and scripts differ nowhere from the model, nor from a real server.

The four quarters of a million steps are in files of their own. `make simulate STEPS=10000000` runs more.
"""

import re
from functools import partial
from pathlib import Path

from app.realtime import redis_keys
from tests.simulation import million, run
from tests.simulation.episode import application
from tests.simulation.lua_server import LuaServer
from tests.simulation.mirror import run_mirrored
from tests.simulation.steps import Shape, Step, steps_of

STEPS_IN_LUA51, MIRRORED_STEPS = 3_000, 300


OLDER_MEMORY_THEN_CLOCK_STEP = [  # seed 1795712677/2/23, shortened
    Step("report", 1274513350701855767179355918932773134739307799291),
    Step("save", 1343419589264490343422655889901198594490105189591),
    Step("wait", 1257038103400747420265086905625052276745267756585),
    Step("drain_when_due", 847449785179007313971522289041900063860790315149),
    Step("restart", 1066493739495177931327728072615040153057477530676),
    Step("drain", 91749507159033422094610942764012465221497530946),
    Step("clock", 565151144956520692547658772114562806152286663115),
]


def test_limits_hold_if_a_server_returns_with_older_memory_and_then_its_clock_is_set() -> None:
    with application() as use:
        assert run.problem_of(use, Shape(3, 2, 4, True), OLDER_MEMORY_THEN_CLOCK_STEP, LuaServer) is None


def test_the_files_of_the_quarters_run_every_part() -> None:
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*_quarter.py")]
    files = sorted(int(number) for text in texts for number in re.findall(r"parts_of_file\((\d)\)", text))
    assert files == list(range(million.PARTS // million.PARTS_OF_A_FILE))


def test_a_simulation_leaves_the_keys_of_all_partitions_to_other_tests() -> None:
    before = redis_keys.all_keys("due")
    assert run.run("after", 1)
    assert redis_keys.all_keys("due") == before
    assert len(before) == redis_keys.PARTITIONS


def test_random_steps_agree_with_the_model_in_the_lua_of_redis() -> None:
    run.run("lua51", STEPS_IN_LUA51, partial(LuaServer, "lua51"))


def test_a_real_server_answers_random_steps_as_the_simulated_ones_do(valkey, redis_url) -> None:
    seed = "mirrored"
    run_mirrored(valkey.client, seed, steps_of(seed, MIRRORED_STEPS))
