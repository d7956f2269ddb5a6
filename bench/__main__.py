"""`python -m bench NAME` runs `bench/NAME.py`; `python -m bench` runs all of them, one after the other."""

import importlib
import subprocess
import sys
from pathlib import Path


def main() -> None:
    known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if hasattr_main(path))
    if len(sys.argv) < 2:
        sys.exit(max(subprocess.run([sys.executable, "-m", "bench", name], check=False).returncode for name in known))
    if sys.argv[1] not in known:
        sys.exit(f"usage: python -m bench [NAME [OPTION…]], NAME one of: {', '.join(known)}")
    name = sys.argv.pop(1)
    importlib.import_module(f"bench.{name}").main()


def hasattr_main(path: Path) -> bool:
    """A benchmark is a module with a `main` that is not run on import."""
    text = path.read_text(encoding="utf-8")
    return "\ndef main(" in text and "\nmain()\n" not in text and path.stem != "__main__"


if __name__ == "__main__":
    main()
