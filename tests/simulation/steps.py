"""Random steps as data, so that a failing list can be shortened and repeated."""

import random
from typing import Any, NamedTuple

STEPS_OF_AN_EPISODE = 1000


class Step(NamedTuple):
    kind: str
    bits: int


class Dice:
    """Draws from the bits of a step, so that leaving out another step changes nothing here."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def below(self, count: int) -> int:
        self._bits, drawn = divmod(self._bits, count)
        return drawn

    def of(self, choices: Any) -> Any:
        return choices[self.below(len(choices))]


class Shape(NamedTuple):
    """How an episode differs from others."""

    servers: int
    rooms: int
    agents: int
    is_calm: bool


def shape_of(seed: str) -> Shape:
    chosen = random.Random(f"shape {seed}")
    agents = chosen.choice((2, 4, 4, 8, 150))
    return Shape(chosen.choice((1, 2, 3)), chosen.choice((2, 3, 3)), agents, chosen.random() < 0.5)


KINDS = (
    ["wait"] * 34 + ["report"] * 20 + ["drain_when_due"] * 18 + ["publish"] * 9 + ["resume"] * 8 + ["finish"] * 7
    + ["drain"] * 6 + ["listen"] * 4 + ["clock"] * 4 + ["relay"] * 3 + ["read_seq"] * 2 + ["disconnect"] * 2
    + ["forget"] * 2 + ["kill", "down", "save", "restart", "flush", "long_wait", "restore_database"]
)  # fmt: skip


def steps_of(seed: str, count: int = STEPS_OF_AN_EPISODE) -> list[Step]:
    chosen = random.Random(f"steps {seed}")
    kinds = chosen.choices(KINDS, k=count)
    return [Step(kind, chosen.getrandbits(160)) for kind in kinds]
