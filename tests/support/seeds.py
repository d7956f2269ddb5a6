"""The seed of everything random in a test run: fresh each time, shown at its start, given again with TEST_SEED."""

import os
import secrets

SEED = int(os.environ.setdefault("TEST_SEED", str(secrets.randbelow(2**32))))
"""The same in all of the run's processes, which inherit the variable."""
