"""`make test-containers`: a stage of its own, since it needs root, a container engine and some minutes."""

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    folder = str(Path(__file__).parent)
    sys.exit(pytest.main([folder, "--verbose", "--timeout=600", "--durations=10", *sys.argv[1:]]))
