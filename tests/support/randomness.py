"""One fresh seed for the random tests of a run, printed at its head: `TEST_SEED=… make test` draws the same again."""

import os
import secrets

SEED = int(os.environ.get("TEST_SEED") or secrets.randbelow(2**32))


def pytest_report_header() -> str:
    return f"random tests: TEST_SEED={SEED}"
