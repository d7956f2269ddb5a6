"""Fetches and builds what the container tests need, into their cache; most of the time is waiting.

`.ci/run` does so beside other steps, so that the tests find everything there.
"""

import sys
import time

from tests.containers.engine import engine
from tests.containers.images import make_images
from tests.containers.tools import NoEngineError


def main() -> int:
    began = time.monotonic()
    try:
        with engine() as running:
            print(f"the engine answers after {time.monotonic() - began:.0f} s", flush=True)
            make_images(running)
    except NoEngineError as error:
        print(f"this machine cannot run a container engine: {error}")
        return 3
    print(f"the images are built after {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
