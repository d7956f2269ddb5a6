"""Runs episodes of the simulation, and shortens the steps of one that fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.episode import Episode, application
from tests.simulation.lua_server import LuaServer
from tests.simulation.steps import Shape, Step, shape_of, steps_of
from tests.simulation.world import Mismatch

MAX_ATTEMPTS = 400
Use = Callable[[Episode], None]
MakeServer = Callable[[], LuaServer]


@dataclass
class Failure:
    """A failing episode: its seed, and the fewest steps that were found to fail."""

    seed: str
    steps: Sequence[Step]
    problem: str

    def __str__(self) -> str:
        listed = "\n".join(f"  {each.kind} {each.bits}" for each in self.steps)
        return (
            f"{self.problem}\n{len(self.steps)} steps of {shape_of(self.seed)} fail:\n{listed}\n"
            f"repeat them, also on a real server: python -m tests.simulation --replay {self.seed}"
        )


def run(seed: str, steps: int, make_server: MakeServer = LuaServer) -> int:
    """Run episodes until they have taken this many steps; returns how many. Raises Mismatch with the shortest steps."""
    done = number = 0
    with application() as use:
        while done < steps:
            episode_seed = f"{seed}/{number}"
            episode = Episode(shape_of(episode_seed), make_server)
            use(episode)
            try:
                episode.run(steps_of(episode_seed))
            except Exception as problem:
                raise Mismatch(str(shortest(use, episode_seed, make_server, problem))) from problem
            done += episode.done
            number += 1
    return done


def first_problem(seed: str, steps: int) -> Exception | None:
    """The first problem within this many steps, which are not shortened."""
    done = number = 0
    with application() as use:
        while done < steps:
            episode = Episode(shape_of(f"{seed}/{number}"))
            use(episode)
            try:
                episode.run(steps_of(f"{seed}/{number}"))
            except Exception as problem:
                return problem
            done += episode.done
            number += 1
    return None


def problem_of(use: Use, shape: Shape, steps: Sequence[Step], make_server: MakeServer) -> Exception | None:
    """Why these steps fail; None if they don't."""
    episode = Episode(shape, make_server)
    use(episode)
    try:
        episode.run(list(steps))
    except Exception as problem:
        return problem
    return None


def shortest(use: Use, seed: str, make_server: MakeServer, problem: Exception) -> Failure:
    """Leave out halves, quarters and so on of the steps, as long as the rest still fails."""
    shape, steps = shape_of(seed), steps_of(seed)
    size, attempts = len(steps) // 2, 0
    while size and attempts < MAX_ATTEMPTS:
        start, is_shorter = 0, False
        while start < len(steps) and attempts < MAX_ATTEMPTS:
            rest = steps[:start] + steps[start + size :]
            attempts += 1
            found = problem_of(use, shape, rest, make_server)
            if found is None:
                start += size
            else:
                steps, problem, is_shorter = rest, found, True
        if not is_shorter or size > 1:
            size //= 2
    return Failure(seed, steps, f"{type(problem).__name__}: {problem}")
