"""The seed of all random tests: fresh for each run, printed at its start, repeated with TEST_SEED."""

import os
import secrets

SEED = int(os.environ.setdefault("TEST_SEED", str(secrets.randbelow(2**32))))
"""The same in all processes of the run, which inherit the variable."""
