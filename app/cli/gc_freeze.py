"""Loading the app's modules quickly."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import inside without the garbage collector, which would walk all that was loaded again and again in vain.

    What was loaded stays: the collector leaves it alone from then on, and a worker's pool shares its memory.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
