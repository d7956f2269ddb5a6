"""Sets the clocks of single processes while they run, with a small C library that is compiled and preloaded."""

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock_shim.c")
LIBRARY = "clock_shim.so"


class Clocks:
    """`clocks.step(redis=-30)` sets Redis's clock back; start the system with `clocks.environment`."""

    def __init__(self, folder: Path) -> None:
        compiler = _compiler()
        assert compiler is not None
        self._folder = folder
        library = folder / LIBRARY
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True, timeout=120)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_DIR": str(folder)}
        self.redis_offsets = {0.0}

    @staticmethod
    def is_available() -> bool:
        """Whether there is a C compiler."""
        return _compiler() is not None

    def step(self, **seconds: float) -> None:
        """Set the clocks of these parts to the machine's plus `seconds`; they follow within a tenth of a second."""
        for part, offset in seconds.items():
            if part == "redis":
                self.redis_offsets.add(offset)
            new = self._folder / f"{part}.new"
            new.write_text(str(offset), encoding="utf-8")
            new.replace(self._folder / part)


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")
