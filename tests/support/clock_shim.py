"""Clocks of single parts, moved while they run: a small library that is compiled here and preloaded."""

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock_shim.c")
LIBRARY = "clock_shim.so"


class Clocks:
    """`step("redis", -30)` sets Redis's clock back; start the system with `environment`."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        assert compiler is not None
        self._folder = folder
        library = folder / LIBRARY
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True, timeout=120)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_DIR": str(folder)}
        self.redis_offsets = {0.0}

    @staticmethod
    def is_available() -> bool:
        """Whether there is a compiler."""
        return bool(shutil.which("cc") or shutil.which("gcc"))

    def step(self, part: str, seconds: float) -> None:
        """Set the part's clock to the machine's plus `seconds`; it notices within a tenth of a second."""
        if part == "redis":
            self.redis_offsets.add(seconds)
        new = self._folder / f"{part}.new"
        new.write_text(str(seconds), encoding="utf-8")
        new.replace(self._folder / part)
