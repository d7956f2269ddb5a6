"""One small change of one source file, as text: the same for Python and Lua."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`source`: the whole file with the change in it. `change`: the change for people, before and after."""

    path: str
    line: int
    change: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"
