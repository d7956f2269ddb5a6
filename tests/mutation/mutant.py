"""One small change to one source file, in Python or Lua."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`source` is the whole changed file, `change` a readable description of the change."""

    path: str
    line: int
    change: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"
