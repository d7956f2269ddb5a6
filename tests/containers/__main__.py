"""`make test-containers`: a separate stage, since it needs root, a container engine and several minutes."""

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    folder = str(Path(__file__).parent)
    sys.exit(pytest.main([folder, "--verbose", "--timeout=1800", "--durations=10", *sys.argv[1:]]))
