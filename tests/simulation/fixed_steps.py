"""Steps that run in every test run, and against each mutant: those that once failed, and what chance rarely does."""

from tests.simulation.episode import Episode, application
from tests.simulation.lua_server import LuaServer
from tests.simulation.rare_steps import RARE
from tests.simulation.run import problem_of
from tests.simulation.steps import Shape, Step

FAILED_ONCE: dict[str, tuple[Shape, list[Step]]] = {
    "a server returns with older memory and then its clock is set": (  # seed 1795712677/2/23, shortened
        Shape(3, 2, 4, is_calm=True),
        [
            Step("report", 1274513350701855767179355918932773134739307799291),
            Step("save", 1343419589264490343422655889901198594490105189591),
            Step("wait", 1257038103400747420265086905625052276745267756585),
            Step("drain_when_due", 847449785179007313971522289041900063860790315149),
            Step("restart", 1066493739495177931327728072615040153057477530676),
            Step("drain", 91749507159033422094610942764012465221497530946),
            Step("clock", 565151144956520692547658772114562806152286663115),
        ],
    ),
}


def problem_of_fixed(name: str) -> Exception | None:
    """Why the steps of this name in FAILED_ONCE or RARE fail; None if they don't."""
    with application() as use:
        if name in FAILED_ONCE:
            return problem_of(use, *FAILED_ONCE[name], LuaServer)
        episode = Episode(Shape(1, 12, 2, is_calm=False))
        use(episode)
        try:
            RARE[name](episode)
            episode.check_memory()
        except Exception as problem:
            return problem
    return None


def first_fixed_problem() -> Exception | None:
    return next((found for name in (*FAILED_ONCE, *RARE) if (found := problem_of_fixed(name))), None)
